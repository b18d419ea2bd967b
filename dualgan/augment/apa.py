"""Adaptive pseudo augmentation, APA (Jiang et al., NeurIPS 2021)."""

import torch
from torch import Tensor

from dualgan.augment.base import Augmentation
from dualgan.augment.strength import ScheduleName, strength_of


class APA(Augmentation):
    """Shows D generated images as real ones, each with probability p, so that it does not learn the set by heart.

    Source: Jiang et al., "Deceive D: Adaptive Pseudo Augmentation for GAN Training with Limited Data", NeurIPS 2021,
    section 3. As in its published form the overfitting is measured on the mixed batch, and a replaced image keeps
    the class of the real one. Here the generated images are those of the same step of D.

    Args:
        schedule: adaptive holds the overfitting of D at `target`; linear and cosine rise from 0 to `p`; fixed stays.
        p: The probability: at the start (adaptive, 0), at the end (linear, 0.6; cosine), always (fixed).
        target: Overfitting r_t, the mean sign of D's logits of real images, that adaptive holds: 0.6.
        kimg: Thousands of images in which adaptive could go from 0 to 1 (500; 100 suits fine-tuning), or in which
            linear and cosine reach `p` (the whole training).
        interval: Minibatches between two changes of adaptive: 4.

    Raises:
        ValueError: A number is out of range, missing, or has no effect with the schedule.
    """

    def __init__(
        self,
        schedule: ScheduleName = "adaptive",
        p: float | None = None,
        target: float | None = None,
        kimg: float | None = None,
        interval: int | None = None,
    ) -> None:
        super().__init__()
        self.strength = strength_of("APA", schedule, p, target, kimg, interval)

    def prepare(self, total_images: int, shift_invariant: bool) -> str | None:
        """Learn the length of the training, and what logits mean under its loss."""
        said = self.strength.prepare(total_images, shift_invariant)
        return said and f"APA {said}"

    def forward(self, images: Tensor) -> Tensor:
        """The images."""
        return images

    def real(self, real: Tensor, fake: Tensor) -> Tensor:
        """Real images [N, C, R, R], some of them replaced by the generated ones, as they are."""
        replaced = torch.rand(len(real), device=real.device) < self.strength.p
        return torch.where(replaced[:, None, None, None], fake.detach().to(real.dtype), real)

    def observe(self, real_logits: Tensor, fake_logits: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Adapt p."""
        found = self.strength.observe(real_logits, fake_logits, finite, images_seen)
        return {"apa/p": self.strength.p.clone(), **{f"apa/{name}": value for name, value in found.items()}}
