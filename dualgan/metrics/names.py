"""Names of metrics in logs, and which of their values are better."""

from fnmatch import fnmatchcase
from typing import Literal

SECTION = "metrics/"
"""What metric names begin with in metrics.csv and in W&B."""

LOWER = ("fid", "kid", "fd_*", "kd_*", "ppl*")
HIGHER = ("precision*", "recall*", "density*", "coverage*", "inception_score*")


def better(metric: str) -> Literal["lower", "higher"] | None:
    """Which values of a metric, named without its section, are better; None where neither is, or it is unknown."""
    if any(fnmatchcase(metric, pattern) for pattern in LOWER):
        return "lower"
    return "higher" if any(fnmatchcase(metric, pattern) for pattern in HIGHER) else None
