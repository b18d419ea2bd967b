"""Names of metrics in logs, and which of their values are better."""

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
