"""How often an augmentation happens: a probability that is fixed, follows the clock, or adapts to overfitting."""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from dualgan.augment.base import Augmentation
from dualgan.runtime.distributed import mean_over_ranks, world_size

LINEAR_P = 0.6  # Yang et al., NeurIPS 2021: at the end of the training, for sets below 5,000 images

ScheduleName = Literal["adaptive", "linear", "cosine", "fixed"]


class Strength(nn.Module, ABC):
    """A probability p from 0 to 1, the same on all ranks, and in the checkpoint.

    Attributes:
        p: The probability, a scalar on the device.
    """

    p: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.register_buffer("p", torch.tensor(float(p)))

    def prepare(self, total_images: int, centred: bool) -> str | None:
        """Learn the length of the training in images, and whether logits say something only beside each other.

        Returns:
            What the user should know of it.
        """
        return None

    def over(self, total_images: int, images_seen: int) -> float | None:
        """p at some time of a training of some length, in images; None where it does not follow from these."""
        return None

    @abstractmethod
    def observe(self, real: Tensor, fake: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """See the logits [N, ...] of D's main step; returns what is worth logging beside p."""


class Fixed(Strength):
    """Always the same p, whatever that of a checkpoint is."""

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.always = p
        self.register_load_state_dict_post_hook(_keep_p)  # type: ignore[no-untyped-call]

    def prepare(self, total_images: int, centred: bool) -> str | None:
        """Say it where nothing will ever happen."""
        return None if self.p else "has p 0: images stay as they are"

    def observe(self, real: Tensor, fake: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Nothing."""
        return {}


def _keep_p(strength: nn.Module, _: object) -> None:
    assert isinstance(strength, Fixed)
    strength.p.fill_(strength.always)


class Linear(Strength):
    """From 0 to `p` in a straight line over the first `kimg` thousand images, the whole training by default.

    Source of p = 0.6 over the training: Yang et al., "Data-Efficient Instance Generation from Instance
    Discrimination", NeurIPS 2021, for sets below 5,000 images.
    """

    def __init__(self, p: float, kimg: float | None) -> None:
        super().__init__(0.0)
        self.end, self.images = p, None if kimg is None else kimg * 1000
        self.takes_all = kimg is None

    def prepare(self, total_images: int, centred: bool) -> str | None:
        """Take the length of the training unless another was given."""
        self.images = self.images or total_images
        if self.images <= total_images:
            return None
        reached = self.end * self.way(total_images / self.images)
        return (
            f"reaches p {reached:.3g} instead of {self.end:g}: its kimg {self.images / 1000:g} is longer than the "
            f"training of total_kimg {total_images / 1000:g}"
        )

    def observe(self, real: Tensor, fake: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Move p to where it is at the next step."""
        assert self.images is not None
        self.p.fill_(self._at(images_seen + len(real) * world_size(), self.images))
        return {}

    def over(self, total_images: int, images_seen: int) -> float | None:
        """p at some time, where it rises over the training."""
        return self._at(images_seen, total_images) if self.takes_all else None

    def _at(self, images_seen: int, images: float) -> float:
        return self.end * self.way(min(images_seen / images, 1.0))

    def way(self, time: float) -> float:
        """Part of the way from 0 to the end at a part of the time."""
        return time


class Cosine(Linear):
    """The same along half a cosine wave. Source: Huang et al., "The GAN is dead; long live the GAN!", 2024."""

    # 1 - (1 + cos(pi t)) / 2
    def way(self, time: float) -> float:
        """Part of the way from 0 to the end at a part of the time."""
        return 1 - 0.5 * (1 + math.cos(math.pi * time))


class Adaptive(Strength):
    """Rises while D overfits and falls while it does not.

    Source: Karras et al., NeurIPS 2020, section 3: r_t = E[sign D(x)] over `interval` minibatches is held at `target`
    by steps that would take p from 0 to 1 in `kimg` thousand images. It is clamped to [0, 1]; left to itself it
    has been seen to rise far above 1 on small sets.

    Where a loss does not change when all logits are shifted (the dual contrastive and relativistic ones), the sign of a
    logit means nothing: the middle between the mean logits of real and generated images is taken as zero then.
    """

    sign_sum: Tensor
    minibatches: Tensor
    overfitting: Tensor

    def __init__(self, p: float, target: float, kimg: float, interval: int) -> None:
        super().__init__(p)
        self.target, self.images, self.interval, self.centred = target, kimg * 1000, interval, False
        for name in ("sign_sum", "minibatches", "overfitting"):
            self.register_buffer(name, torch.zeros(()))

    def prepare(self, total_images: int, centred: bool) -> str | None:
        """Take the middle between real and generated logits as zero, or not."""
        self.centred = centred
        if not centred:
            return None
        return (
            "measures overfitting by logits less the middle of their real and generated means, as the loss has no zero"
        )

    @torch.no_grad()
    def observe(self, real: Tensor, fake: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Add to the statistic, and move p every `interval` minibatches."""
        images = len(real) * world_size()
        if self.centred:
            real = real - mean_over_ranks((real.float().mean() + fake.float().mean()) / 2)
        signs = mean_over_ranks(real.sign().float().mean())
        self.sign_sum += torch.where(finite, signs, 0.0)
        self.minibatches += finite
        if (images_seen // images + 1) % self.interval == 0:
            self._adapt(images)
        return {"r_t": self.overfitting.clone()}

    def _adapt(self, images: int) -> None:
        # r_t = E[sign D(x)], Eq. 1; p += sign(r_t - target) * images / (1000 kimg), section 3.1
        known = self.minibatches > 0
        self.overfitting.copy_(torch.where(known, self.sign_sum / self.minibatches.clamp(min=1), self.overfitting))
        step = (self.overfitting - self.target).sign() * (images * self.interval / self.images)
        self.p.copy_(torch.where(known, self.p + step, self.p).clamp(0, 1))
        self.sign_sum.zero_()
        self.minibatches.zero_()


def strength_of(
    owner: str,
    schedule: ScheduleName,
    p: float | None,
    target: float | None,
    kimg: float | None,
    interval: int | None,
) -> Strength:
    """The strength that the settings of an augmentation describe.

    Args:
        owner: Name of the augmentation, for messages.
        schedule: Which kind.
        p: The probability: at the start (adaptive), at the end (linear, cosine), always (fixed).
        target: Overfitting r_t that the adaptive one holds.
        kimg: Thousands of images from 0 to 1 (adaptive), or to the end (linear, cosine).
        interval: Minibatches between two changes of the adaptive one.

    Raises:
        ValueError: A number is out of range, missing, or has no effect with this schedule.
    """
    given = {"target": target, "interval": interval, **({"kimg": kimg} if schedule == "fixed" else {})}
    for name, value in given.items():
        if value is not None and schedule != "adaptive":
            raise ValueError(f"{owner}: {name} {value:g} has no effect with the schedule '{schedule}': leave it out")
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"{owner}: p {p:g} is no probability: expected a number from 0 to 1")
    if target is not None and not 0 < target < 1:
        raise ValueError(f"{owner}: target {target:g} is out of range: expected a number between 0 and 1, such as 0.6")
    if p == 0 and schedule in ("linear", "cosine"):
        raise ValueError(f"{owner}: p 0 has no effect with the schedule '{schedule}': leave {owner} out, or raise p")
    if kimg is not None and not 0 < kimg < math.inf:
        raise ValueError(f"{owner}: kimg {kimg:g} is out of range: expected a number above 0")
    if interval is not None and interval < 1:
        raise ValueError(f"{owner}: interval {interval} is out of range: expected at least 1")
    match schedule:
        case "adaptive":
            return Adaptive(p or 0.0, target or 0.6, kimg or 500, interval or 4)
        case "linear":
            return Linear(LINEAR_P if p is None else p, kimg)
        case "cosine" if p is not None:
            return Cosine(p, kimg)
        case "fixed" if p is not None:
            return Fixed(p)
        case "cosine" | "fixed":
            meaning = "that it ends at" if schedule == "cosine" else "of every image"
            raise ValueError(f"{owner}: the schedule '{schedule}' needs p, the probability {meaning}, such as 0.3")
    raise ValueError(f"{owner}: schedule '{schedule}' is not known: expected adaptive, linear, cosine or fixed")


class Strengthened(Augmentation, ABC):
    """An augmentation that happens with a probability p, which it logs.

    Args:
        schedule: adaptive holds the overfitting of D at `target`; linear and cosine rise from 0 to `p`; fixed stays.
        p: The probability: at the start (adaptive, 0), at the end (linear, 0.6; cosine), always (fixed).
        target: Overfitting r_t, the mean sign of D's logits of real images in its main steps, that adaptive holds: 0.6.
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
        self.name = type(self).__name__
        self.strength = strength_of(self.name, schedule, p, target, kimg, interval)

    def prepare(self, total_images: int, shift_invariant: bool) -> str | None:
        """Learn the length of the training, and what logits mean under its loss."""
        said = self.strength.prepare(total_images, shift_invariant)
        return said and f"{self.name} {said}"

    def over(self, total_images: int, images_seen: int) -> dict[str, float]:
        """p where it rises over the training."""
        p = self.strength.over(total_images, images_seen)
        return {} if p is None else {f"p of {self.name}": p}

    def observe(self, real_logits: Tensor, fake_logits: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Adapt p."""
        found = {"p": self.strength.p, **self.strength.observe(real_logits, fake_logits, finite, images_seen)}
        return {f"{self.name.lower()}/{name}": value.clone() for name, value in found.items()}
