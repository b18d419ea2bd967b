"""Attention maps during training."""

import inspect
import warnings

import numpy as np
from pytorch_lightning import LightningModule, Trainer

from dualgan.callbacks.pictures import Pictures
from dualgan.gan import GAN
from dualgan.pictures.figures import MAX_ROWS, render
from dualgan.studies.attention import DEFAULT_POSITIONS, check_positions, draw_attention, mapped_attention


class AttentionMaps(Pictures):
    """Writes attention/kimg_NNNNN.NNN.png, the averaged generator's samples with attention maps, and logs it.

    A generator without attention maps gets none, and a warning where options were set for them.

    Args:
        every_kimg: Thousands of images between figures.
        seeds: Rows of the figure, from the seeds 0, 1, 2, ...
        positions: Where to look from, pairs [row, column] as parts of the image's height and width from 0 to below 1;
            null is three places.
        truncation_psi: Truncation of the latents, 1 for none.
    """

    def __init__(
        self,
        every_kimg: float = 50.0,
        seeds: int = 4,
        positions: list[tuple[float, float]] | None = None,
        truncation_psi: float = 1.0,
    ) -> None:
        super().__init__("attention", "attention_maps", every_kimg)
        if not 1 <= seeds <= MAX_ROWS:
            raise ValueError(f"attention_maps.seeds {seeds}: a figure has 1 to {MAX_ROWS} rows")
        self.seeds, self.truncation_psi = seeds, truncation_psi
        self.positions = DEFAULT_POSITIONS if positions is None else tuple(positions)
        try:
            check_positions(self.positions)
        except ValueError as error:
            raise ValueError(f"attention_maps.positions: {error}") from error
        given = {"every_kimg": every_kimg, "seeds": seeds, "positions": positions, "truncation_psi": truncation_psi}
        defaults = inspect.signature(AttentionMaps).parameters
        self.changed = [name for name, value in given.items() if value != defaults[name].default]
        self.has_maps = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out whether there are maps, and warn before any training where they are wanted in vain."""
        assert isinstance(pl_module, GAN)
        try:
            mapped_attention(pl_module.generator_ema)
            self.has_maps = True
        except ValueError as reason:
            if self.changed:
                options = ", ".join(f"attention_maps.{name}" for name in self.changed)
                warnings.warn(f"{options} set without effect: {reason}", stacklevel=2)

    def picture(self, gan: GAN) -> np.ndarray | None:
        """Samples of the first seeds with their maps."""
        if not self.has_maps:
            return None
        seeds = range(self.seeds)
        return render(draw_attention(gan.generator_ema, seeds, self.positions, truncation_psi=self.truncation_psi))
