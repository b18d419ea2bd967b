"""Names of metrics in logs, and which of their values are better."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from dualgan.metrics.table import METRICS, Better

SECTION = "metrics/"
"""What metric names begin with in metrics.csv and in W&B."""


def patterns(better: Better) -> list[str]:
    """The names, without their section, of all numbers whose lower or higher values are better; as patterns."""
    numbers = [number for spec in METRICS.values() if spec.better == better for number in spec.numbers]
    return list(dict.fromkeys(name for number in numbers for name in number.reported_names))


def better(metric: str) -> Better | None:
    """Which values of a metric, named without its section, are better; None where neither is, or it is unknown."""
    sides: tuple[Better, Better] = ("lower", "higher")
    return next((side for side in sides if any(fnmatchcase(metric, name) for name in patterns(side))), None)


def names_until_0_1(recorded: Iterable[str], extractor: str | None) -> dict[str, str]:
    """Those of some recorded names that are another network's published ones today, each with its name of today.

    Version 0.1 called Inception's precision, recall, density and coverage by the published names, which are VGG16's.
    """
    if extractor != "inception_v3":
        return {}
    numbers = {number.kind: number for spec in METRICS.values() for number in spec.numbers if spec.source == "features"}
    others = (name for name in recorded if name in numbers and numbers[name].network != extractor)
    return {name: f"{name}_{extractor}" for name in others}
