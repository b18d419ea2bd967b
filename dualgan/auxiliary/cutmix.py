"""CutMix for discriminators with a logit per pixel (Schonfeld et al., CVPR 2020, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.auxiliary.base import AuxiliaryTask, StepView
from dualgan.networks import Discriminator


class CutMix(AuxiliaryTask):
    """D tells the pixels of real images from those of generated ones in images that are put together of both.

    Each real image is mixed with a generated one by a mask of its own, after their augmentation. The mixed image as a
    whole is a generated one, its pixels are what the mask says, and their logits are those of the pixels in the images
    that they are from. The cross-entropy is the same whatever the adversarial loss is. With classes both images and the
    mixed one are shown as of the real image's class.

    Source: Schonfeld et al., "A U-Net Based Discriminator for Generative Adversarial Networks", CVPR 2020, Eq. 4 to 6,
    in the form of its public code for CelebA: added to the adversarial loss in every step.

    Args:
        discriminator: D, which must have a logit of every pixel: UNetDiscriminator.
        weight: Weight of the cross-entropies of the mixed image and of its pixels; 0 leaves them out.
        consistency: Weight of the squared difference of logits; 0 leaves it out.

    Raises:
        ValueError: A weight is below 0, both are 0, or D has no logits of pixels.
    """

    needs_trunk = sized_by_data = False

    def __init__(self, discriminator: Discriminator, weight: float = 1.0, consistency: float = 1.0) -> None:
        super().__init__(discriminator)
        if min(weight, consistency) < 0 or not (weight or consistency):
            raise ValueError(
                f"CutMix: weight {weight:g} and consistency {consistency:g} are out of range: expected 0 or more, and "
                f"one above 0"
            )
        if not discriminator.has_pixel_logits:
            raise ValueError(
                f"CutMix needs a discriminator with a logit of every pixel, and {type(discriminator).__name__} has "
                f"none: choose UNetDiscriminator, or leave CutMix out"
            )
        self.name = "cutmix"
        self.weight, self.consistency = weight, consistency

    def discriminator_loss(self, view: StepView) -> Tensor:
        """Mixes the images [N, C, R, R] of the step."""
        real, fake = view.augment(view.real, "real"), view.augment(view.fake, "fake")
        mask = masks(view.noise(view.real[:, 0, 0, :4], "boxes"), real.shape[2])
        mixed = torch.lerp(fake, real, mask[:, None])
        labels = None if view.labels is None else view.labels.repeat(3)
        whole, pixels = view.logits(torch.cat([real, fake, mixed]), labels, "mixed")
        of_real, of_fake, of_mixed = pixels.chunk(3)
        loss = self.weight * mixed_loss(whole.chunk(3)[2], of_mixed, mask)
        return loss + self.consistency * consistency_loss(of_mixed, of_real, of_fake, mask)


# Eq. 5, with the whole image as a generated one: -log(1 - sigmoid(D_enc)) - E[M log sigmoid(D_dec) + (1 - M) log(...)]
def mixed_loss(whole: Tensor, pixels: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropies of logits [N] of mixed images and [N, R, R] of their pixels, real where the mask is 1."""
    of_whole = F.binary_cross_entropy_with_logits(whole, torch.zeros_like(whole))
    return of_whole + F.binary_cross_entropy_with_logits(pixels, mask.to(pixels.dtype))


# Eq. 6: E[(D_dec(mix(x, G(z), M)) - mix(D_dec(x), D_dec(G(z)), M))^2]
def consistency_loss(of_mixed: Tensor, of_real: Tensor, of_fake: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of logits [N, R, R] of mixed images' pixels from the mixed logits."""
    difference: Tensor = of_mixed - torch.lerp(of_fake, of_real, mask.to(of_real.dtype))
    return difference.square().mean()


def masks(noise: Tensor, resolution: int) -> Tensor:
    """A mask for each image from standard normal numbers [N, 4]: [N, R, R], 1 is real, of the type of `noise`.

    A box of the area 1 - lambda, lambda uniform, around a uniform pixel is 0, as far as it lies inside; half of the
    masks are the other way round.
    """
    fraction, row, column, inverted = torch.special.ndtr(noise).unbind(dim=1)  # now uniform from 0 to 1
    half = ((1 - fraction).sqrt() * resolution).floor().div(2, rounding_mode="floor")
    place = torch.arange(resolution, device=noise.device)
    inside = []
    for middle in (row, column):
        pixel = (middle * resolution).floor().clamp(max=resolution - 1)
        inside.append((place >= (pixel - half)[:, None]) & (place < (pixel + half)[:, None]))
    box = inside[0][:, :, None] & inside[1][:, None, :]
    is_real: Tensor = box == (inverted > 0.5)[:, None, None]
    return is_real.to(noise.dtype)
