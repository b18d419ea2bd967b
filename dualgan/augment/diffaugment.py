"""Differentiable augmentation, DiffAugment (Zhao et al., NeurIPS 2020)."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from dualgan.augment.base import Augmentation
from dualgan.augment.draws import Draws
from dualgan.runtime.precision import without_autocast

SHIFT, CUTOUT = 1 / 8, 1 / 2
Policy = Literal["color", "translation", "cutout"]


class DiffAugment(Augmentation):
    """Changes every image that D sees: colours, place, a blank square.

    Source: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020, section 3.

    Args:
        policy: Which, in this order; the paper takes all three for 100-shot sets, and translation and cutout for
            CIFAR-10.

    Raises:
        ValueError: There is none, or one is unknown or there twice.
    """

    def __init__(self, policy: Sequence[Policy] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        names = [policy] if isinstance(policy, str) else list(policy)
        if not names:
            raise ValueError(f"DiffAugment's policy is empty: expected some of {', '.join(POLICIES)}")
        if unknown := [name for name in names if name not in POLICIES]:
            raise ValueError(f"DiffAugment's policy has no '{unknown[0]}': expected some of {', '.join(POLICIES)}")
        if len(set(names)) < len(names):
            raise ValueError(f"DiffAugment's policy {', '.join(names)} has one twice: expected each at most once")
        self.policy = tuple(names)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> changed ones, which may leave [-1, 1]."""
        with without_autocast(images.device.type):
            draws = Draws(images)
            for name in self.policy:
                images = POLICIES[name](images, draws)
            return images


def color(images: Tensor, draws: Draws) -> Tensor:
    """Brightness + U(-0.5, 0.5), saturation x U(0, 2), contrast x U(0.5, 1.5)."""
    brightness, saturation, contrast = (draws.uniform()[:, None, None, None] for _ in range(3))
    images = images + (brightness - 0.5)
    images = about(images.mean(dim=1, keepdim=True), images, 2 * saturation)
    return about(images.mean(dim=(1, 2, 3), keepdim=True), images, contrast + 0.5)


def about(middle: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Images with their distance from a middle times a factor."""
    return middle + (images - middle) * factor


def translation(images: Tensor, draws: Draws) -> Tensor:
    """Shift by whole pixels, up to an eighth of the width; 0, a middle gray, where nothing is left."""
    width = images.shape[-1]
    most = int(width * SHIFT + 0.5)
    here = torch.arange(width, device=images.device)
    for dim in (2, 3):
        shift = (draws.uniform() * (2 * most + 1)).floor().long() - most
        source = here - shift[:, None]
        inside = (source >= 0) & (source < width)
        shape = [len(images), 1, width, 1] if dim == 2 else [len(images), 1, 1, width]
        moved = images.gather(dim, source.clamp(0, width - 1).view(shape).expand_as(images))
        images = torch.where(inside.view(shape), moved, 0.0)
    return images


def cutout(images: Tensor, draws: Draws) -> Tensor:
    """Blank a square of half the width around any pixel; less where it reaches over the border."""
    width = images.shape[-1]
    size = int(width * CUTOUT + 0.5)
    here = torch.arange(width, device=images.device)
    starts = [(draws.uniform() * (width + 1 - size % 2)).floor().long() - size // 2 for _ in range(2)]
    rows, columns = ((here >= start[:, None]) & (here < start[:, None] + size) for start in starts)
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], 0.0, images)


POLICIES: dict[str, Callable[[Tensor, Draws], Tensor]] = {
    "color": color, "translation": translation, "cutout": cutout,
}  # fmt: skip
