"""Sample grids during training."""

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer

from dualgan.callbacks.pictures import Pictures, write
from dualgan.gan import GAN
from dualgan.networks.sampling import generate
from dualgan.pictures.grids import grid
from dualgan.runs.folder import REAL, SAMPLES, run_folder


class SampleGrid(Pictures):
    """Writes samples/kimg_NNNNN.NNN.png from the averaged generator and logs it; samples/real.png shows the data once.

    Args:
        every_kimg: Thousands of images between grids.
        rows: Rows of the grid.
        columns: Columns of the grid.
        truncation_psi: Truncation of the latents, 1 for none.
    """

    def __init__(self, every_kimg: float = 50.0, rows: int = 6, columns: int = 10, truncation_psi: float = 1.0) -> None:
        super().__init__(SAMPLES, "samples", every_kimg)
        if rows < 1 or columns < 1:
            raise ValueError(f"samples.rows {rows} and samples.columns {columns}: a grid needs at least 1 of each")
        self.rows, self.columns, self.truncation_psi = rows, columns, truncation_psi

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the data and the untrained generator."""
        assert isinstance(pl_module, GAN)
        if pl_module.clock == 0:
            self._show_real(trainer)
        super().on_train_start(trainer, pl_module)

    def picture(self, gan: GAN) -> np.ndarray:
        """Images of the first seeds."""
        seeds = range(self.rows * self.columns)
        images = torch.cat(list(generate(gan.generator_ema, seeds, truncation_psi=self.truncation_psi)))
        return grid(images, self.columns)

    def _show_real(self, trainer: Trainer) -> None:
        data = getattr(trainer, "datamodule", None)
        if data is None or not trainer.is_global_zero:
            return
        count = min(self.rows * self.columns, data.dataset_size)
        images = torch.cat([batch.images for batch in data.reference_dataloader(count, count)])
        write(grid(images, self.columns), run_folder(trainer) / SAMPLES / REAL)
