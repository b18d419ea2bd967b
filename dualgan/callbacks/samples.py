"""Sample grids during training: the same latents again and again."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dualgan.callbacks.clock import check_interval, crossed
from dualgan.callbacks.run import log_picture, run_folder
from dualgan.gan import GAN
from dualgan.pictures import grid, save_png
from dualgan.sampling import generate


class SampleGrid(Callback):
    """Writes samples/kimg_NNNNN.NNN.png from the averaged generator and logs it; samples/real.png shows the data once.

    Args:
        every_kimg: Thousands of images between grids.
        rows: Rows of the grid.
        columns: Columns of the grid.
        truncation_psi: Truncation of the latents, 1 for none.
    """

    def __init__(self, every_kimg: float = 50.0, rows: int = 6, columns: int = 10, truncation_psi: float = 1.0) -> None:
        self.every_kimg = check_interval(every_kimg, "samples")
        if rows < 1 or columns < 1:
            raise ValueError(f"samples.rows {rows} and samples.columns {columns}: a grid needs at least 1 of each")
        self.rows, self.columns, self.truncation_psi = rows, columns, truncation_psi
        self.last_kimg = -1.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the data and the untrained generator."""
        assert isinstance(pl_module, GAN)
        if pl_module.clock == 0:
            self._show_real(trainer)
            self._show(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a grid where one is due."""
        assert isinstance(pl_module, GAN)
        if crossed(pl_module, batch, self.every_kimg):
            self._show(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the final generator."""
        assert isinstance(pl_module, GAN)
        self._show(trainer, pl_module)

    def _show_real(self, trainer: Trainer) -> None:
        data = getattr(trainer, "datamodule", None)
        if data is None or not trainer.is_global_zero:
            return
        count = min(self.rows * self.columns, data.dataset_size)
        images = torch.cat([batch.images for batch in data.reference_dataloader(count, count)])
        save_png(grid(images, self.columns), run_folder(trainer) / "samples" / "real.png")

    def _show(self, trainer: Trainer, gan: GAN) -> None:
        kimg = gan.clock / 1000
        if not trainer.is_global_zero or kimg == self.last_kimg:
            return
        self.last_kimg = kimg
        picture = grid(self._images(gan), self.columns)
        save_png(picture, run_folder(trainer) / "samples" / f"kimg_{kimg:09.3f}.png")
        log_picture(trainer, "samples", picture, kimg)

    def _images(self, gan: GAN) -> Tensor:
        seeds = range(self.rows * self.columns)
        return torch.cat(list(generate(gan.generator_ema, seeds, truncation_psi=self.truncation_psi)))
