"""Pictures of the averaged generator during training: the same latents again and again."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer

from dualgan.callbacks.clock import aside, check_interval, crossed
from dualgan.files.atomic import write_whole
from dualgan.gan import GAN
from dualgan.pictures.grids import png
from dualgan.runs.clock import at_clock
from dualgan.runs.folder import run_folder
from dualgan.runs.loggers import log_picture

logger = logging.getLogger(__name__)


class Pictures(Callback):
    """Writes NAME/kimg_NNNNN.NNN.png before, during and after training, and logs it as NAME. A base class.

    Args:
        name: Folder in the run's folder, and key in the loggers.
        section: Name of the options on the command line.
        every_kimg: Thousands of images between pictures.
    """

    def __init__(self, name: str, section: str, every_kimg: float) -> None:
        self.name, self.every_kimg = name, check_interval(every_kimg, section)
        self.last_kimg = -1.0

    def picture(self, gan: GAN) -> np.ndarray | None:
        """The picture, uint8 [H, W, C]; draws no numbers from torch's global generators. None where there is none."""
        raise NotImplementedError

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the untrained generator."""
        assert isinstance(pl_module, GAN)
        if pl_module.clock == 0:
            self._show(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show where a picture is due."""
        assert isinstance(pl_module, GAN)
        if crossed(pl_module, batch, self.every_kimg):
            self._show(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the final generator."""
        assert isinstance(pl_module, GAN)
        self._show(trainer, pl_module)

    def _show(self, trainer: Trainer, gan: GAN) -> None:
        kimg = gan.clock / 1000
        if kimg == self.last_kimg:
            return
        self.last_kimg = kimg
        with aside(trainer):
            gan.settle()
            if not trainer.is_global_zero:
                return
            picture = self.picture(gan)
            if picture is not None:
                write(picture, run_folder(trainer) / self.name / at_clock(gan.clock, ".png"))
                log_picture(trainer, self.name, picture, kimg)


def write(picture: np.ndarray, path: Path) -> None:
    """Write a PNG file, or say why not and go on: training can do without, and a full disk may get room again."""
    try:
        write_whole(path, png(picture))
    except OSError as error:
        logger.warning("%s is left out (%s): going on.", path, error.strerror or error)
