"""How much a training's evaluations look at, and how often they come, where nobody has said so.

All is a function of the settings, the length of the training and the number of real images, and of no clock: the same
command gives the same numbers on every machine.
"""

import math
from dataclasses import dataclass

from dualgan.evaluation.images import NUM_FAKE

SHARE = 0.1  # of the images that the training sees, as many are generated for evaluations at most
FEWEST = 250  # images, but no more than there are, are worth their seconds in the shortest training
ENOUGH = 10_000  # images; beyond that several evaluations come before larger ones
SEVERAL, MOST = 10, 125  # evaluations; the latter as 200 kimg give in the field's 25,000


@dataclass(frozen=True)
class Plan:
    """How many images each evaluation compares, and how often that is.

    Attributes:
        num_fake: generated images.
        num_real: real images; None for all.
        every_kimg: thousands of images between evaluations; there is one before and one after the training too.
    """

    num_fake: int
    num_real: int | None
    every_kimg: float


def plan_evaluations(
    num_fake: int | None,
    num_real: int | None,
    every_kimg: float | None,
    num_available: int,
    total_images: int,
    least: int = 2,
) -> Plan:
    """Choose what is None; what is a number stays.

    As many images are generated as there are real ones to compare with, 50,000 at most, but over the whole training no
    more than a tenth of the images that it sees: with two evaluations of 250 images at least, and with more than 10,000
    images only where there are ten evaluations of them.

    Args:
        num_fake: generated images.
        num_real: real images. None with a `num_fake` takes all of them, and without one as many as are generated,
            which are all where that is what limits the number.
        every_kimg: thousands of images between evaluations.
        num_available: real images that there are.
        total_images: images that the training sees.
        least: images of a kind that the metrics need.
    """
    budget = SHARE * total_images
    count = num_fake
    if count is None:
        wanted = min(num_available if num_real is None else min(num_real, num_available), NUM_FAKE)
        count = max(min(wanted, max(_affordable(budget, every_kimg, total_images), FEWEST)), least)
        if num_real is None and count < wanted:
            num_real = count
    if every_kimg is None:
        evaluations = min(max(int(budget / count), 2), 1 + MOST)
        every_kimg = _rounded_up(total_images / 1000 / (evaluations - 1))
    return Plan(count, num_real, every_kimg)


def _affordable(budget: float, every_kimg: float | None, total_images: int) -> int:
    if every_kimg is not None:
        return int(budget / (1 + math.ceil(total_images / (1000 * every_kimg))))
    return int(max(min(budget / 2, ENOUGH), budget / SEVERAL))


def _rounded_up(value: float) -> float:
    """The next number with two significant digits: fewer evaluations, and a time that can be read."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.2g}")
