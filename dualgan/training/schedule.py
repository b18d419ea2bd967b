"""When things happen and how fast: numbers that change with the images seen, lazy regularization, warm-up."""

import math
from abc import ABC, abstractmethod


class Schedule(ABC):
    """A number that goes from `start` to `end` over the first `kimg` thousand images and then stays.

    Args:
        start: Value at the start of the training, 0 or more.
        end: Value from `kimg` on, 0 or more.
        kimg: Thousands of real images that it takes.
    """

    def __init__(self, start: float, end: float, kimg: float) -> None:
        # checked by who knows its name: whatever is raised here is hidden behind the complaints of other types
        self.start, self.end, self.kimg = start, end, kimg

    def check(self, name: str, below: float = math.inf) -> None:
        """Refuse numbers that cannot be meant, by the setting's name.

        Raises:
            ValueError: Start or end is not from 0 to `below`, both are 0, or `kimg` is not above 0.
        """
        for part, value in (("start", self.start), ("end", self.end)):
            if not 0 <= value < below:
                limit = "" if below == math.inf else f" and less than {below:g}"
                raise ValueError(f"{name}.{part} {value:g} is out of range: expected 0 or more{limit}")
        if not self.kimg > 0:
            raise ValueError(f"{name}.kimg {self.kimg:g} is out of range: expected a number above 0")
        if self.start == self.end == 0:
            raise ValueError(f"{name} goes from 0 to 0: give the number 0, or another start or end")

    def at(self, images_seen: int) -> float:
        """Value at some time."""
        return self.start + (self.end - self.start) * self.way(min(images_seen / (self.kimg * 1000), 1.0))

    @abstractmethod
    def way(self, time: float) -> float:
        """Part of the way from start to end at a part of the time, both from 0 to 1."""


class Linear(Schedule):
    """A straight line, such as from 0 for a warm-up of the learning rate."""

    def way(self, time: float) -> float:
        """The same part."""
        return time


class Cosine(Schedule):
    """Half a cosine wave, slow at both ends. Source: Huang et al., "The GAN is dead; long live the GAN!", 2024."""

    # 1 - (1 + cos(pi t)) / 2
    def way(self, time: float) -> float:
        """Part of the way."""
        return 1 - 0.5 * (1 + math.cos(math.pi * time))


class Steps(Schedule):
    """A number that jumps from value to value, such as the learning rate of progressive growing from level to level.

    Args:
        values: One after the other, each 0 or more.
        at_kimg: Thousands of real images at which the second, the third, ... value begins.
    """

    def __init__(self, values: list[float], at_kimg: list[float]) -> None:
        super().__init__(*((values[0], values[-1]) if values else (math.nan, math.nan)), max(at_kimg, default=math.nan))
        self.values, self.at_kimg = values, at_kimg

    def check(self, name: str, below: float = math.inf) -> None:
        """Refuse numbers that cannot be meant, by the setting's name.

        Raises:
            ValueError: Values and times do not go together, times do not rise from above 0, or as for the base class.
        """
        if len(self.values) != len(self.at_kimg) + 1 or not self.at_kimg:
            raise ValueError(
                f"{name} has {len(self.values)} values and {len(self.at_kimg)} times at_kimg: expected one value more "
                f"than times, and at least one time"
            )
        if sorted({0.0, *self.at_kimg}) != [0.0, *self.at_kimg]:
            raise ValueError(
                f"{name}.at_kimg {self.at_kimg} does not rise: expected times above 0, each after the last"
            )
        for value in self.values:
            Linear(value, max(self.values), self.kimg).check(name, below)

    def jumps(self, images_seen: float) -> int:
        """How many there have been at some time."""
        return sum(images_seen >= kimg * 1000 for kimg in self.at_kimg)

    def at(self, images_seen: int) -> float:
        """Value at some time."""
        return self.values[self.jumps(images_seen)]

    def way(self, time: float) -> float:
        """The part of the jumps that have been."""
        return self.jumps(time * self.kimg * 1000) / len(self.at_kimg)


Scheduled = float | Schedule


def value_at(number: Scheduled, images_seen: int) -> float:
    """Value of a number or schedule at some time."""
    return number.at(images_seen) if isinstance(number, Schedule) else number


def is_due(minibatch: int, interval: int) -> bool:
    """Lazy regularization happens at minibatches 0, interval, 2 interval, ..."""
    return minibatch % interval == 0


# StyleGAN2, appendix B: c = k / (k + 1), lr' = c lr, beta' = beta^c
def lazy_adam(
    learning_rate: float, betas: tuple[float, float], interval: int | None
) -> dict[str, float | tuple[float, float]]:
    """Adam settings that make up for one extra step every `interval` minibatches; None means no extra steps."""
    c = 1.0 if interval is None else interval / (interval + 1)
    return {"lr": learning_rate * c, "betas": (betas[0] ** c, betas[1] ** c)}


def cooldown_factor(images_seen: int, total_images: int, cooldown_kimg: float) -> float:
    """Factor on the learning rates: 1, then a straight line down to 0 at the end of the training."""
    left = total_images - images_seen
    return max(min(1.0, left / (cooldown_kimg * 1000)), 0.0) if cooldown_kimg else 1.0


def default_warmup_kimg(dataset_size: int, total_images: int) -> float:
    """About 20 epochs as in the paper, but at most 6 % of the training: large sets would never leave the warm-up."""
    return min(20 * dataset_size, 0.06 * total_images) / 1000
