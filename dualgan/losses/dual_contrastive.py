"""Dual contrastive loss (Yu et al., ICCV 2021, section 3.1)."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.losses.adversarial import AdversarialLoss
from dualgan.runtime.distributed import gather_with_own_gradient, scale_gradient, world_size


# -Eq. 1: mean_i log(1 + sum_j exp(f_j - r_i)) = mean_i softplus(logsumexp_j f_j - r_i)
def real_against_fakes(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Case I: tell each real logit [N] from the batch of generated ones [M]. Scalar, at least 0."""
    return F.softplus(fake_logits.logsumexp(dim=0) - real_logits).mean()


# -Eq. 2: mean_j log(1 + sum_i exp(f_j - r_i)) = mean_j softplus(f_j + logsumexp_i(-r_i))
def fake_against_reals(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Case II: tell each generated logit [M] from the batch of real ones [N]. Scalar, at least 0."""
    return F.softplus(fake_logits + (-real_logits).logsumexp(dim=0)).mean()


# -Eq. 3 without its optimisation signs
def dual_contrast(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Sum of both cases, the scalar that D minimises; exact and finite for logits of any size."""
    return real_against_fakes(real_logits, fake_logits) + fake_against_reals(real_logits, fake_logits)


def chance_level(num_real: int, num_fake: int) -> float:
    """Value of the loss when D gives every image the same logit: log(1 + M) + log(1 + N)."""
    return math.log1p(num_fake) + math.log1p(num_real)


class DualContrastive(AdversarialLoss):
    """Contrast each real image with the batch of generated ones and each generated one with the batch of real ones.

    Source: Yu et al., ICCV 2021, Eq. 1-3.

    Args:
        generator_form: "swapped" lets G minimise the same loss with the roles of real and generated exchanged, the
            non-saturating analogue; "minimax" lets it maximise D's loss, Eq. 3 to the letter, whose gradient
            vanishes once D is ahead by more than about log N.
        scope: "global" contrasts over the logits of all devices, "local" over one device's.

    Raises:
        ValueError: Unknown form or scope.
    """

    generator_needs_real = True
    needs_warmup = True
    shift_invariant = True

    def __init__(
        self,
        generator_form: Literal["swapped", "minimax"] = "swapped",
        scope: Literal["global", "local"] = "global",
    ) -> None:
        if generator_form not in ("swapped", "minimax"):
            raise ValueError(f"unknown generator_form {generator_form!r}: expected 'swapped' or 'minimax'")
        if scope not in ("global", "local"):
            raise ValueError(f"unknown scope {scope!r}: expected 'global' or 'local'")
        self.generator_form, self.scope = generator_form, scope

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss for D. Logits: [N] and [M], any range. Returns a scalar."""
        return self._contrast(real_logits, fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss for G. Logits: [M] and [N], any range. Returns a scalar.

        Raises:
            ValueError: No real logits.
        """
        if real_logits is None:
            raise ValueError("the dual contrastive loss of G contrasts with real images: pass real_logits [N]")
        if self.generator_form == "minimax":
            return -self._contrast(real_logits, fake_logits)
        return self._contrast(fake_logits, real_logits)

    @torch.no_grad()
    def diagnostics(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """The margin mean r - mean f, and D's loss minus its chance level 2 log(1 + N); logits [N] and [M].

        Minimax saturates once the margin has passed about log N.
        """
        real, fake = self._scoped(real_logits, fake_logits)
        margin = real.mean() - fake.mean()
        above_chance = dual_contrast(real, fake) - chance_level(len(real), len(fake))
        return {"margin": margin, "loss_above_chance": above_chance}

    def _scoped(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """The logits to contrast: those of all ranks, gathered at once, or this rank's own."""
        if self.scope == "local":
            return real_logits, fake_logits
        both = gather_with_own_gradient(torch.cat([real_logits, fake_logits])[None])  # [R, N + M, ...]
        return both[:, : len(real_logits)].flatten(0, 1), both[:, len(real_logits) :].flatten(0, 1)

    def _contrast(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        loss = dual_contrast(*self._scoped(real_logits, fake_logits))
        # Every rank computes the whole loss but holds the gradient of its own logits: undo the mean over ranks.
        return scale_gradient(loss, world_size()) if self.scope == "global" else loss
