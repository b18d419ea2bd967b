"""What became of a number during a training, in words."""

import math
from collections.abc import Callable, Mapping, Sequence

from dualgan.metrics.names import SECTION, better

NOTHING_MEASURED = "No evaluation came to its end: there are no scores."
_TIMES = 1.5  # smaller ratios are told in per cent: 5.3 % would become "1.1 times"


def printed(value: float) -> str:
    """A number with the digits that are worth reading."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.4g}"


def scores_in_words(
    history: Sequence[tuple[float, Mapping[str, float]]], metric: str, shown: Callable[[float], str] = printed
) -> str:
    """What an evaluated metric was at first and is now.

    Args:
        history: Thousands of images seen and the scores of every evaluation, one at least.
        metric: Name of one in the last evaluation, with its section.
        shown: Writes a value with the digits that mean something.
    """
    name = metric.removeprefix(SECTION)
    (start, first), (end, last) = history[0], history[-1]
    now = f"{shown(last[metric])} at {end:g} kimg"
    if len(history) == 1:
        return f"{name}: {now}, the only evaluation"
    if metric not in first:
        return f"{name}: {now}; the first evaluation, at {start:g} kimg, has no such number"
    change = change_in_words(name, first[metric], last[metric], shown)
    return f"{name}: {shown(first[metric])} at {start:g} kimg, {now}, {change}"


def change_in_words(metric: str, before: float, after: float, shown: Callable[[float], str] = printed) -> str:
    """How a metric, named without its section, went from one value to another, and whether that is better.

    Such as "3.2 times lower", "1.1 % higher, which is worse" or, where both are `shown` alike, "unchanged".
    """
    if not math.isfinite(after):
        return "which is no finite number"
    if not math.isfinite(before):
        return "finite again"
    if shown(before) == shown(after):
        return "unchanged"
    direction = "lower" if after < before else "higher"
    wanted = better(metric)
    verdict = "" if wanted in (None, direction) else ", which is worse"
    # of the numbers as they are shown, so that readers who compare them find the same
    return f"{_size(float(shown(before)), float(shown(after)))}{direction}{verdict}"


def _size(before: float, after: float) -> str:
    small, large = sorted((before, after))
    if small <= 0:  # no ratio means anything, such as of a kernel distance about 0
        return ""
    ratio = large / small
    if ratio < _TIMES:
        return f"{100 * (large - small) / before:.2g} % "
    return f"{ratio:.{1 if ratio < 100 else 0}f} times "
