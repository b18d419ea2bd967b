"""What came of a study: the numbers of every run, and a table of their means."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from dualgan.comparison.study.runs import StudyRun
from dualgan.comparison.texts import MISSING
from dualgan.metrics.names import better

Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""Of every row its runs: numbers by name, among them kimg and maybe hours and seed, and where they come from."""

SPREAD = "mean ± half of the difference between the largest and the smallest"
_NO_SCORES = ("kimg", "hours")
_ABOUT = ("notes", "provenance")


def results_of(runs: Sequence[StudyRun]) -> dict[str, list[dict[str, Any]]]:
    """Numbers of the runs that are done, row by row."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        if (result := run.result()) is not None:
            found.setdefault(run.row, []).append(result)
    return found


def numbers(results: Results) -> dict[str, list[dict[str, Any]]]:
    """What the table is made of, without where it comes from: to be published beside it."""
    return {
        row: [{name: run[name] for name in run if name not in _ABOUT} for run in runs] for row, runs in results.items()
    }


def scores_in(results: Results) -> list[str]:
    """Names of all scores, each once."""
    named = (name for runs in results.values() for run in runs for name, value in run.items() if _is_score(name, value))
    return list(dict.fromkeys(named))


def _is_score(name: str, value: Any) -> bool:
    return isinstance(value, float) and name not in _NO_SCORES


def table(results: Results) -> list[list[str]]:
    """Mean and spread over the seeds of every row as texts, below a header."""
    names = scores_in(results)
    timed = any("hours" in run for runs in results.values() for run in runs)
    arrows = {"lower": " ↓", "higher": " ↑", None: ""}
    header = ["row", *(name + arrows[better(name)] for name in names), "seeds", "kimg", *(["hours"] if timed else [])]
    rows = []
    for row, runs in results.items():
        scores = [_cell([run[name] for run in runs if name in run], len(runs)) for name in names]
        hours = [f"{sum(run.get('hours', 0.0) for run in runs) / len(runs):.2g}"] if timed else []
        rows.append([row, *scores, str(len(runs)), _same([run["kimg"] for run in runs]), *hours])
    return [header, *rows]


def _cell(values: Sequence[float], runs: int) -> str:
    if not values:
        return MISSING
    fewer = f" (of {len(values)})" if len(values) < runs else ""
    return f"{with_spread(values)}{fewer}"


def with_spread(values: Sequence[float]) -> str:
    """Mean ± half of the difference between the largest and the smallest, which one value has not."""
    spread = f" ± {_rounded((max(values) - min(values)) / 2, 2)}" if len(values) > 1 else ""
    return f"{_rounded(statistics.mean(values), 4)}{spread}"


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text else text


def _same(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def markdown(results: Results) -> str:
    """The table in Markdown."""
    header, *rows = table(results)
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], f"|:--|{'--:|' * (len(header) - 1)}", *lines[1:]])


def provenance_in_words(results: Results) -> list[str]:
    """On which machines, with which versions and against which images the numbers were made, in sentences."""
    found: dict[str, None] = {}
    for run in (run for runs in results.values() for run in runs):
        for machine in run["provenance"]["trained_on"]:
            versions = f"dualgan {machine['dualgan']}, torch {machine['torch']}, Python {machine['python']}"
            found[f"Trained on {machine['device']} ({versions})."] = None
        if scores := run["provenance"]["scores"]:
            images = f"{scores.get('num_fake')} generated and {scores.get('num_real')} real images"
            found[f"Scored by {scores.get('extractor')}: {images}, set {scores.get('real_fingerprint')}."] = None
    return list(found)


def page(title: str, results: Results) -> str:
    """The table with all that a reader needs to know of it, in Markdown."""
    below = [f"Scores are {SPREAD} over the seeds; hours are those of one training.", *provenance_in_words(results)]
    return "\n".join([f"# {title}", "", markdown(results), "", *below, ""])
