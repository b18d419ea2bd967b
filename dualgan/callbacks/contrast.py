"""A warning when the dual contrastive loss has run away from the generator."""

import math
import warnings
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from dualgan.callbacks.clock import crossed
from dualgan.gan import GAN
from dualgan.ops import world_size


class MarginWarning(Callback):
    """Warns once when the margin mean D(x) - mean D(G(z)) stays above log N + 3 for a kimg.

    From about log N on the minimax form of G has no gradient left (design of the loss, Eq. 1-2: both terms are
    flat there), and D's lead is too large for the swapped form to be of much use either.
    """

    EVERY_KIMG = 0.25
    PATIENCE = 4

    def __init__(self) -> None:
        self.strikes = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the margin four times per kimg."""
        assert isinstance(pl_module, GAN)
        margin = pl_module.latest.get("contrast/margin")
        if margin is None or not crossed(pl_module, batch, self.EVERY_KIMG):
            return
        limit = math.log(len(batch.images) * world_size()) + 3
        self.strikes = self.strikes + 1 if float(margin) > limit else 0
        if self.strikes == self.PATIENCE:
            warnings.warn(
                f"the margin between real and generated logits is {float(margin):.1f}, above log N + 3 = {limit:.1f} "
                f"for a kimg: D is far ahead and G learns little. Try a larger r1_gamma, or generator_form 'swapped'",
                stacklevel=2,
            )
