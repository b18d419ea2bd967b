"""A warning when the dual contrastive loss has run away from the generator."""

import math
import warnings
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from dualgan.gan import GAN
from dualgan.runtime.distributed import world_size
from dualgan.training.schedule import is_due


class MarginWarning(Callback):
    """Warns once when the margin mean D(x) - mean D(G(z)) stays above log N + 3 for a kimg.

    From about log N on the minimax form of G has no gradient left (design of the loss, Eq. 1-2: both terms are
    flat there), and D's lead is too large for the swapped form to be of much use either.
    """

    PATIENCE = 1000  # images

    def __init__(self) -> None:
        self.above_since: int | None = None
        self.warned = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the margin when it is logged: to read it, the host waits for the device."""
        assert isinstance(pl_module, GAN)
        margin = pl_module.latest.get("contrast/margin")
        logging = is_due(trainer.global_step, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if margin is None or self.warned or not logging:
            return
        value, limit = float(margin), math.log(len(batch.images) * world_size()) + 3
        if not value > limit:
            self.above_since = None
            return
        if self.above_since is None:
            self.above_since = pl_module.clock
        if pl_module.clock - self.above_since >= self.PATIENCE:
            self.warned = True
            warnings.warn(
                f"the margin between real and generated logits is {value:.1f}, above log N + 3 = {limit:.1f} "
                f"for a kimg: D is far ahead and G learns little. Try a larger r1_gamma, or generator_form 'swapped'",
                stacklevel=2,
            )
