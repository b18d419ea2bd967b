"""Sample grids during training."""

from collections.abc import Sequence

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer

from dualgan.callbacks.pictures import Pictures, write
from dualgan.gan import GAN
from dualgan.networks.classes import existing_classes
from dualgan.networks.sampling import generate
from dualgan.pictures.grids import arrange_rows, grid
from dualgan.runs.folder import REAL, SAMPLES, run_folder
from dualgan.terminal.console import say

ROWS = 6
MOST_CLASSES = 20


class SampleGrid(Pictures):
    """Writes samples/kimg_NNNNN.NNN.png from the averaged generator and logs it; samples/real.png shows the data once.

    Args:
        every_kimg: Thousands of images between grids.
        rows: Rows of the grid, 6 by default; with classes there is a row for each, and this is the most of them (20).
        columns: Columns of the grid.
        truncation_psi: Truncation of the latents, 1 for none.
    """

    def __init__(
        self, every_kimg: float = 50.0, rows: int | None = None, columns: int = 10, truncation_psi: float = 1.0
    ) -> None:
        super().__init__(SAMPLES, "samples", every_kimg)
        if (rows is not None and rows < 1) or columns < 1:
            raise ValueError(f"samples.rows {rows} and samples.columns {columns}: a grid needs at least 1 of each")
        self.rows, self.columns, self.truncation_psi = rows, columns, truncation_psi

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the data and the untrained generator."""
        assert isinstance(pl_module, GAN)
        shown, there = self._classes(pl_module), len(existing_classes(pl_module.generator_ema))
        if shown and len(shown) < there and trainer.is_global_zero:
            say(f"Sample grids show the first {len(shown)} of {there} classes, a row for each (--samples.rows).")
        if pl_module.clock == 0:
            self._show_real(trainer, shown)
        super().on_train_start(trainer, pl_module)

    def picture(self, gan: GAN) -> np.ndarray:
        """Images of the first seeds, the same ones for every class."""
        classes = self._classes(gan)
        seeds = list(range(self.columns)) * len(classes) if classes else range(self._rows * self.columns)
        labels = torch.tensor(classes).repeat_interleave(self.columns) if classes else None
        images = generate(gan.generator_ema, seeds, labels=labels, truncation_psi=self.truncation_psi)
        return grid(torch.cat(list(images)), self.columns)

    @property
    def _rows(self) -> int:
        return ROWS if self.rows is None else self.rows

    def _classes(self, gan: GAN) -> list[int]:
        """Classes that are shown; none without classes."""
        return existing_classes(gan.generator_ema)[: MOST_CLASSES if self.rows is None else self.rows]

    def _show_real(self, trainer: Trainer, classes: Sequence[int]) -> None:
        data = getattr(trainer, "datamodule", None)
        if data is None or not trainer.is_global_zero:
            return
        if classes and data.num_classes:
            picture = arrange_rows([data.first_of_class(one, self.columns) for one in classes], self.columns)
        else:
            count = min(self._rows * self.columns, data.dataset_size)
            loader = data.reference_dataloader(count, count)
            picture = grid(torch.cat([batch.images for batch in loader]), self.columns)
        write(picture, run_folder(trainer) / SAMPLES / REAL)
