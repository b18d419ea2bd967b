"""Progressive growing (Karras et al., ICLR 2018): networks that begin with few pixels and fade in one level after the
other."""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PUBLISHED_KIMG = 600.0
"""Thousands of images of a level, and of a fade, in the published trainings."""
GROWN = 1024
"""Resolution of the networks whose published form is the growing one, with a layer for the colours of every level."""
GrowFrom = int | Literal["published"] | None
"""Resolution that growing starts with; None for all layers from the start; "published" for 8 at 1024, else None."""


class Plan(NamedTuple):
    """When networks grow.

    Args:
        resolution: Of the images, where growing ends.
        first: Resolution at the start.
        level_kimg: Thousands of real images that every level is trained for.
        fade_kimg: Thousands of real images in which the next level fades in after them.
    """

    resolution: int
    first: int
    level_kimg: float
    fade_kimg: float

    def check(self) -> None:
        """Refuse what is no growth.

        Raises:
            ValueError: The first resolution is no power of two from 4 to the last, or a time is not meant so.
        """
        valid = [2**k for k in range(2, self.resolution.bit_length())]
        if self.first not in valid:
            raise ValueError(
                f"grow_from {self.first} is no resolution of a network for {self.resolution}x{self.resolution}: "
                f"expected one of {', '.join(map(str, valid))}; the published trainings start with 8"
            )
        for name, kimg in (("level_kimg", self.level_kimg), ("fade_kimg", self.fade_kimg)):
            if not 0 <= kimg < math.inf:
                raise ValueError(f"{name} {kimg:g} is out of range: expected 0 or more; 600 is published")
        if self.phase == 0:
            raise ValueError("level_kimg and fade_kimg are both 0: nothing is left to grow in; 600 each is published")

    def __str__(self) -> str:
        return f"from {self.first} to {self.resolution}, {self.level_kimg:g} kimg a level and {self.fade_kimg:g} a fade"

    @property
    def phase(self) -> int:
        """Images from one level to the next."""
        return round(1000 * self.level_kimg) + round(1000 * self.fade_kimg)

    @property
    def images(self) -> int:
        """Images until it has grown up."""
        return self.phase * (self.resolution.bit_length() - self.first.bit_length())

    # The schedule of the published trainings
    def at(self, images_seen: int) -> "Stage":
        """What there is at a time."""
        levels, rest = divmod(min(images_seen, self.images), self.phase)
        resolution, into = self.first << levels, rest - round(1000 * self.level_kimg)
        if into <= 0:
            return Stage(resolution, 1.0)
        return Stage(2 * resolution, into / round(1000 * self.fade_kimg))


class Stage(NamedTuple):
    """What there is of growing networks at a time.

    Attributes:
        resolution: Of the last level.
        fade: How much of it counts against the level before: 1 once it is there.
    """

    resolution: int
    fade: float


class Layers(NamedTuple):
    """Which layers of growing networks are in use.

    Attributes:
        resolution: Of the last level.
        fading: The level before gives an image, or takes one in, too.
    """

    resolution: int
    fading: bool


class Growth(nn.Module):
    """Where a network is on its way; a checkpoint holds it.

    Attributes:
        plan: When it grows.
        layers: Those in use now.
        fade: How much the last level counts against the one before.
        images_seen: The time of this.
    """

    # What changes with every step is in tensors: a compiled graph need not be made anew for it.

    images_seen: Tensor
    fade: Tensor

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        plan.check()
        self.plan, self.layers = plan, Layers(plan.first, fading=False)
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("fade", torch.ones(()), persistent=False)
        self.register_load_state_dict_post_hook(_take_stored)  # type: ignore[no-untyped-call]

    def move_to(self, images_seen: int) -> bool:
        """Take the stage of a time; returns whether layers came or went."""
        before, (resolution, fade) = self.layers, self.plan.at(images_seen)
        self.layers = Layers(resolution, fade < 1)
        self.images_seen.fill_(images_seen)
        self.fade.fill_(fade)
        return self.layers != before

    def grow_up(self) -> None:
        """Take the last stage."""
        self.move_to(self.plan.images)

    # alpha new + (1 - alpha) old
    def blend(self, old: Tensor, new: Tensor) -> Tensor:
        """What the last level gives, as far as it has faded in."""
        return old + self.fade.to(new.dtype) * (new - old)

    def coarsened(self, images: Tensor) -> Tensor:
        """Images [N, C, R, R] in no more detail than a generator of this stage can draw."""
        resolution, fading = self.layers
        factor = self.plan.resolution // resolution
        image = shrunk(images, factor)
        if fading:
            image = self.blend(enlarged(shrunk(image, 2), 2), image)
        return enlarged(image, factor)


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Means of `factor` x `factor` pixels: [N, C, H, W] -> [N, C, H / factor, W / factor]."""
    return F.avg_pool2d(images, factor) if factor > 1 else images


def enlarged(images: Tensor, factor: int) -> Tensor:
    """Every pixel `factor` x `factor` times: [N, C, H, W] -> [N, C, factor H, factor W]."""
    return F.interpolate(images, scale_factor=factor, mode="nearest") if factor > 1 else images


def planned(resolution: int, grow_from: GrowFrom, level_kimg: float, fade_kimg: float) -> Growth | None:
    """Growth by a network's arguments; None for one that has all its layers from the start.

    Raises:
        ValueError: Of `Plan.check`, or a time without growth.
    """
    if grow_from == "published":
        grow_from = 8 if resolution == GROWN else None
    if grow_from is not None:
        return Growth(Plan(resolution, grow_from, level_kimg, fade_kimg))
    for name, kimg in (("level_kimg", level_kimg), ("fade_kimg", fade_kimg)):
        if kimg != PUBLISHED_KIMG:
            raise ValueError(f"{name} {kimg:g} has no effect without grow_from: leave it out, or set grow_from to 8")
    return None


def _take_stored(growth: nn.Module, keys: object) -> None:
    """Take the stage that was loaded."""
    assert isinstance(growth, Growth)
    if not growth.images_seen.is_meta:
        growth.move_to(int(growth.images_seen))
