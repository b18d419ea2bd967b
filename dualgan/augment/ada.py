"""Adaptive discriminator augmentation, ADA (Karras et al., NeurIPS 2020)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dualgan.augment.colour import COLOUR, recolour
from dualgan.augment.corruption import cutout, imgfilter, noise
from dualgan.augment.draws import Draws
from dualgan.augment.geometry import GEOMETRIC, random_inverse
from dualgan.augment.strength import ScheduleName, Strengthened
from dualgan.augment.warp import warp
from dualgan.runtime.precision import without_autocast

Corruption = Callable[[Tensor, Draws, Tensor], Tensor]
CORRUPTIONS: tuple[tuple[str, Corruption], ...] = (("imgfilter", imgfilter), ("noise", noise), ("cutout", cutout))

# The groups of the paper's Fig. 4, by the letters of their names.
GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geometric": ("scale", "rotate", "aniso", "xfrac"),
    "color": tuple(name for name, _ in COLOUR),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
PIPELINES = {letters: list(GROUPS)[: len(letters)] for letters in ("b", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")}
PIPELINES |= {group[0]: [group] for group in ("geometric", "filter", "noise")} | {"c": ["color"]}
TRANSFORMS = tuple(name for group in GROUPS.values() for name in group)


class ADA(Strengthened):
    """Random geometric, colour and image-space transforms, each with probability p, in front of D.

    Source: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 3 and
    appendix B; the linear schedule: Yang et al., NeurIPS 2021. At p = 0 images stay as they are, bit by bit.

    Args:
        transforms: Which: the paper's letters ("bgc", its choice for most sets, "bg", ... "bgcfnc"), a list of groups
            (blit, geometric, color, filter, noise, cutout) or transforms (xflip, rotate90, xint, scale, rotate, aniso,
            xfrac, brightness, contrast, lumaflip, hue, saturation, imgfilter, noise, cutout), or of each a factor on p.
        schedule: How the probability moves: adaptive, linear, cosine or fixed.
        settings: Of the schedule.

    Raises:
        ValueError: A transform is unknown; a number is out of range, missing, or has no effect with the schedule.
    """

    def __init__(
        self,
        transforms: str | list[str] | dict[str, float] = "bgc",
        schedule: ScheduleName = "adaptive",
        **settings: Any,
    ) -> None:
        super().__init__(schedule, **settings)
        self.strengths = strengths_of(transforms)
        self.draws: Callable[[Tensor], Draws] = Draws

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, R, R], C = 1 or 3, in [-1, 1] -> transformed ones, which may leave [-1, 1] a little."""
        # a position in bfloat16 would be off by pixels
        with without_autocast(images.device.type):
            p, draws = self.strength.p.to(images.dtype), self.draws(images)
            if any(name in self.strengths for name, _ in GEOMETRIC):
                inverse, moved = random_inverse(draws, images.shape[-1], p, self.strengths)
                images = torch.where(moved[:, None, None, None], warp(images, inverse), images)
            if any(name in self.strengths for name, _ in COLOUR):
                images = recolour(images, draws, p, self.strengths)
            for name, corrupt in CORRUPTIONS:
                if name in self.strengths:
                    images = corrupt(images, draws, (self.strengths[name] * p).clamp(0, 1))
            return images


def strengths_of(transforms: str | list[str] | dict[str, float]) -> dict[str, float]:
    """Factor on p of each chosen transform by name, from letters, names of groups and transforms, or such with factors.

    Raises:
        ValueError: A name is unknown, there is none, or the factors are out of range or all 0.
    """
    if isinstance(transforms, str):
        transforms = PIPELINES.get(transforms, [transforms])
    factors = transforms if isinstance(transforms, dict) else dict.fromkeys(transforms, 1.0)
    if not factors:
        raise ValueError("ADA has no transforms: name some, such as 'bgc', or leave the augmentation out")
    strengths: dict[str, float] = {}
    for name, factor in factors.items():
        if name not in GROUPS and name not in TRANSFORMS:
            raise ValueError(
                f"ADA knows no transform '{name}': expected one of the letters {', '.join(PIPELINES)}, or a list of "
                f"groups ({', '.join(GROUPS)}) or transforms ({', '.join(TRANSFORMS)})"
            )
        if not 0 <= factor < math.inf:
            raise ValueError(f"ADA's factor {factor:g} of '{name}' is out of range: expected a number from 0 on")
        strengths |= dict.fromkeys(GROUPS.get(name, (name,)), float(factor))
    if not any(strengths.values()):
        raise ValueError("ADA's factors are all 0: raise one, or leave the augmentation out")
    return strengths
