"""Adaptive pseudo augmentation, APA (Jiang et al., NeurIPS 2021)."""

import torch
from torch import Tensor

from dualgan.augment.strength import Strengthened


class APA(Strengthened):
    """Shows D generated images as real ones, each with probability p, so that it does not learn the set by heart.

    Source: Jiang et al., "Deceive D: Adaptive Pseudo Augmentation for GAN Training with Limited Data", NeurIPS 2021,
    section 3. As in its published form the overfitting is measured on the mixed batch, and a replaced image keeps
    the class of the real one. Here the generated images are those of the same step of D.
    """

    def forward(self, images: Tensor) -> Tensor:
        """The images."""
        return images

    def real(self, real: Tensor, fake: Tensor) -> Tensor:
        """Real images [N, C, R, R], some of them replaced by the generated ones, as they are."""
        replaced = torch.rand(len(real), device=real.device) < self.strength.p
        return torch.where(replaced[:, None, None, None], fake.detach().to(real.dtype), real)
