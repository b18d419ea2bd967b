"""Last and best score of each metric of each run."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dualgan.comparison.protocols import comparable_series, groups
from dualgan.metrics.names import SECTION, better
from dualgan.runs.reading import Run


def finite(values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The pairs whose value is a finite number."""
    return [(kimg, value) for kimg, value in values if math.isfinite(value)]


class Score(NamedTuple):
    """Last and best value of a metric of a run, and where they were first reached.

    Best is the smallest or largest, after what the metric calls better, of the evaluations that compare with the last
    one; None where neither is better.
    """

    run: str
    metric: str
    last: float
    last_kimg: float
    best: float | None
    best_kimg: float | None


def metrics_of(run: Run) -> list[str]:
    """Names of a run's metrics, without their section."""
    return [name.removeprefix(SECTION) for name in run.columns if name.startswith(SECTION)]


def all_metrics(runs: Sequence[Run]) -> list[str]:
    """Names of the metrics of all runs, each once."""
    return list(dict.fromkeys(name for run in runs for name in metrics_of(run)))


def score(run: Run, metric: str) -> Score | None:
    """Score of a run; None where it has no finite one."""
    values = finite(run.series(SECTION + metric))
    if not values:
        return None
    last_kimg, last = values[-1]
    direction = better(metric)
    if direction is None:
        return Score(run.name, metric, last, last_kimg, None, None)
    pick = min if direction == "lower" else max
    best_kimg, best = pick(finite(comparable_series(run, metric)) or values[-1:], key=lambda pair: pair[1])
    return Score(run.name, metric, last, last_kimg, best, best_kimg)


def scores(runs: Sequence[Run]) -> list[Score]:
    """All scores, metric by metric."""
    found = (score(run, metric) for metric in all_metrics(runs) for run in runs)
    return [entry for entry in found if entry is not None]


def winners(runs: Sequence[Run], metric: str) -> set[int]:
    """Positions of the runs whose best value of a metric is the best of at least two that compare with each other."""
    direction = better(metric)
    found: set[int] = set()
    for group in groups(runs, metric) if direction else ():
        values = {k: entry.best for k in group if (entry := score(runs[k], metric)) and entry.best is not None}
        if len(values) > 1:
            best = (min if direction == "lower" else max)(values.values())
            found |= {k for k, value in values.items() if value == best}
    return found
