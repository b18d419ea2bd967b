"""Relativistic pairing loss, RpGAN (Jolicoeur-Martineau, ICLR 2019)."""

import torch.nn.functional as F
from torch import Tensor

from dualgan.losses.adversarial import AdversarialLoss


class RelativisticPairing(AdversarialLoss):
    """Compare each real image with one generated image: the first with the first of the batch, and so on.

    The dual contrastive loss with one image a side, halved. A logit per place is compared with that of the same place
    of the other image. Pairs lie within one device, whose mean over the devices is the loss of the whole batch.

    Source: Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", ICLR 2019;
    Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024, Eq. 2, train it with R1 and R2 together.
    """

    generator_needs_real = True
    shift_invariant = True

    # Huang et al., Eq. 2: E log(1 + exp(-(D(x) - D(G(z)))))
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss for D. Logits: [N] or [N, H, W] of both, any range. Returns a scalar.

        Raises:
            ValueError: There are not as many real logits as generated ones.
        """
        _check_pairs(real_logits, fake_logits)
        return F.softplus(fake_logits - real_logits).mean()

    # Its non-saturating form, the roles exchanged: E log(1 + exp(-(D(G(z)) - D(x))))
    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss for G. Logits: [N] or [N, H, W] of both, any range. Returns a scalar.

        Raises:
            ValueError: No real logits, or not as many as generated ones.
        """
        if real_logits is None:
            raise ValueError("the relativistic pairing loss of G compares with real images: pass real_logits [N]")
        return self.discriminator(fake_logits, real_logits)


def _check_pairs(real_logits: Tensor, fake_logits: Tensor) -> None:
    if real_logits.shape != fake_logits.shape:
        raise ValueError(
            f"the relativistic pairing loss compares each real image with one generated image, and there are logits of "
            f"shape {list(real_logits.shape)} and {list(fake_logits.shape)}: pass as many of the one as of the other"
        )
