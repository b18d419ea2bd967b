"""Adversarial losses on single logits: what D and G minimise."""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor


class AdversarialLoss(ABC):
    """What every adversarial loss answers; the training step never asks which loss it has.

    Attributes:
        generator_needs_real: The generator's loss depends on the logits of real images.
        needs_warmup: Training starts with the non-saturating loss for a while.
        shift_invariant: Adding the same to all logits changes nothing, so that their signs mean nothing.
    """

    generator_needs_real: bool = False
    needs_warmup: bool = False
    shift_invariant: bool = False

    @abstractmethod
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss for D. Logits: [N] and [M], any range. Returns a scalar to minimise."""

    @abstractmethod
    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss for G. Logits: [M] and, where `generator_needs_real`, [N]. Returns a scalar to minimise."""

    def diagnostics(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """Scalars of this loss worth logging beside it, by name; none by default."""
        return {}


class NonSaturating(AdversarialLoss):
    """Logistic loss with the non-saturating generator form, the default of StyleGAN2.

    Source: Goodfellow et al., NeurIPS 2014, section 3.
    """

    # -log sigmoid(r) - log(1 - sigmoid(f))
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss for D. Logits: [N] and [M], any range. Returns a scalar."""
        return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()

    # -log sigmoid(f)
    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss for G. Logits: [M], any range. Returns a scalar."""
        return F.softplus(-fake_logits).mean()


class Saturating(NonSaturating):
    """Logistic loss in its minimax form: G minimises what D maximises.

    Source: Goodfellow et al., NeurIPS 2014, Eq. 1.
    """

    # log(1 - sigmoid(f))
    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss for G. Logits: [M], any range. Returns a scalar."""
        return -F.softplus(fake_logits).mean()


class Wasserstein(AdversarialLoss):
    """Difference of means, used with the gradient penalty of `dualgan.losses.GradientPenalty`.

    Source: Gulrajani et al., NeurIPS 2017, Eq. 3 without its penalty; drift term: Karras et al., ICLR 2018.

    Args:
        drift: Weight of the mean square of real logits, which keeps them near zero; Karras et al. use 0.001.
    """

    def __init__(self, drift: float = 0.0) -> None:
        self.drift = drift
        self.shift_invariant = drift == 0

    # Eq. 3: E[D(G(z))] - E[D(x)] + drift E[D(x)^2]
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss for D. Logits: [N] and [M], any range. Returns a scalar."""
        return fake_logits.mean() - real_logits.mean() + self.drift * real_logits.square().mean()

    # Eq. 3, as G sees it: -E[D(G(z))]
    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss for G. Logits: [M], any range. Returns a scalar."""
        return -fake_logits.mean()


class Hinge(AdversarialLoss):
    """Hinge loss: logits beyond the margin of 1 cost nothing.

    Source: Lim & Ye, "Geometric GAN", 2017, Eq. 23 and 24.
    """

    # Eq. 23
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss for D. Logits: [N] and [M], any range. Returns a scalar."""
        return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()

    # Eq. 24
    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss for G. Logits: [M], any range. Returns a scalar."""
        return -fake_logits.mean()
