"""A progress bar in kimg, with images/s and the time that is left."""

import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from pytorch_lightning.loggers import WandbLogger

from dualgan.gan import GAN


class KimgProgressBar(TQDMProgressBar):
    """Shows thousands of images instead of batches, and logs images/s to W&B.

    Time spent on evaluation and pictures does not count towards images/s.
    """

    TRAIN_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total:.0f} kimg [{elapsed}<{remaining}{postfix}]"

    def __init__(self) -> None:
        super().__init__(refresh_rate=1)
        self._seconds, self._images, self._started, self._shown = 0.0, 0, 0.0, 0.0

    def init_train_tqdm(self) -> Tqdm:
        """One bar for the whole training, over kimg."""
        gan = self.trainer.lightning_module
        assert isinstance(gan, GAN)
        return Tqdm(
            desc="Training",
            total=gan.total_images / 1000,
            initial=gan.clock / 1000,
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stdout,
            mininterval=0,
            bar_format=self.TRAIN_FORMAT,
        )

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Keep the bar: a GAN has no epochs worth showing."""

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Start the stopwatch."""
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop the stopwatch; once a second, redraw."""
        assert isinstance(pl_module, GAN)
        now = time.perf_counter()
        self._seconds += now - self._started
        self._images += len(batch.images) * trainer.world_size
        if now - self._shown > 1:
            self._redraw(trainer, pl_module)
            self._shown = now

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the last state."""
        assert isinstance(pl_module, GAN)
        if self._images:
            self._redraw(trainer, pl_module)

    def _redraw(self, trainer: Trainer, gan: GAN) -> None:
        speed = self._images / self._seconds
        if self._seconds > 30:  # a moving window, so that the number follows the machine
            self._images, self._seconds = self._images // 2, self._seconds / 2
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_metrics({"train/images_per_second": speed, "kimg": gan.clock / 1000}, trainer.global_step)
        if not self.train_progress_bar.disable:
            self.train_progress_bar.n = gan.clock / 1000
            self.train_progress_bar.set_postfix_str(f"{speed:.1f} images/s", refresh=True)
