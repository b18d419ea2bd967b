"""The generator's moving average (EMA)."""

import math

import torch
from torch import Tensor, nn

from dualgan.training.schedule import Scheduled, value_at

DEFAULT_HALF_LIFE = 10.0  # kimg


class MovingAverage:
    """How fast the averaged generator follows the trained one: by a half-life in images, or by a decay per step of G.

    Args:
        half_life_kimg: Half-life in thousands of images.
        rampup: Bound the half-life by this fraction of the images seen so far; None for none.
        decay: In place of the half-life, the part of the average that a step of G leaves, such as 0.9999.
        start_kimg: Until then the averaged generator is the trained one.
        total_kimg: Length of the training.

    Raises:
        ValueError: The decay or the start is out of range, or a decay was given with a half-life or its ramp-up.
    """

    def __init__(
        self,
        half_life_kimg: Scheduled = DEFAULT_HALF_LIFE,
        rampup: float | None = None,
        decay: float | None = None,
        start_kimg: float = 0.0,
        total_kimg: float = math.inf,
    ) -> None:
        if decay is not None and not 0 < decay < 1:
            raise ValueError(f"ema_decay {decay:g} is out of range: expected a number between 0 and 1, such as 0.9999")
        if start_kimg >= total_kimg:
            raise ValueError(
                f"ema_start_kimg {start_kimg:g} leaves nothing of total_kimg {total_kimg:g} to average: lower it"
            )
        if decay is not None and (half_life_kimg != DEFAULT_HALF_LIFE or rampup is not None):
            raise ValueError(
                f"ema_decay {decay:g} takes the place of a half-life: ema_kimg and ema_rampup have no effect with it, "
                f"leave them out"
            )
        self.half_life_kimg, self.rampup = half_life_kimg, rampup
        self.fixed_decay, self.start_kimg = decay, start_kimg

    def decay(self, images: int, images_seen: int) -> float:
        """Decay of one step of G, which `images` real images make up; `images_seen` is the clock before them."""
        if images_seen < self.start_kimg * 1000:
            return 0.0
        if self.fixed_decay is not None:
            return self.fixed_decay
        return half_life_decay(images, images_seen, value_at(self.half_life_kimg, images_seen), self.rampup)


# beta = 0.5^(images / half-life), half-life = min(half_life_kimg, rampup * images seen)
def half_life_decay(images: int, images_seen: int, half_life_kimg: float, rampup: float | None) -> float:
    """Decay over `images` images."""
    half_life = half_life_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, images_seen * rampup)
    return float(0.5 ** (images / max(half_life, 1e-8)))


@torch.no_grad()
def follow_(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the parameters of `average` towards those of `network`; buffers are copied."""
    averaged: list[Tensor] = list(average.parameters())
    current: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(averaged, current, 1 - decay)
    if buffers := list(average.buffers()):
        torch._foreach_copy_(buffers, list(network.buffers()))
