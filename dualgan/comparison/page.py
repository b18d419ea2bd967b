"""One HTML file that shows runs side by side and needs nothing else: no network, no server."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from dualgan.comparison.curves import HALF_LIFE, MAX_POINTS, color, curves, half_lives
from dualgan.comparison.differences import comparison_warnings, differs, side_by_side
from dualgan.comparison.pictures import read_samples
from dualgan.comparison.protocols import groups
from dualgan.comparison.published import deviations, document, published_row
from dualgan.comparison.scores import all_metrics, score, winners
from dualgan.comparison.texts import MISSING
from dualgan.evaluation.result import significant
from dualgan.metrics.names import better
from dualgan.runs.reading import Run
from dualgan.version import __version__


def number(value: float | None, few: bool = False) -> str:
    """A number with five digits; with two where few images gave it."""
    return MISSING if value is None else significant(value, 2) if few else f"{value:.5g}"


def render(runs: Sequence[Run], pictures: int = 12, picture_size: int = 640) -> str:
    """The page as text. Everything from the runs' folders is escaped, and the page may load nothing.

    Args:
        runs: One or more.
        pictures: Most sample grids per run, 1 or more.
        picture_size: Longest side of a picture in pixels.
    """
    environment = Environment(
        loader=PackageLoader("dualgan.comparison", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    plots = curves(runs)
    samples = [read_samples(run.folder, pictures, picture_size) for run in runs]
    return environment.get_template("page.html").render(
        version=__version__,
        nonce=secrets.token_urlsafe(16),
        plotly=get_plotlyjs(),
        runs=runs,
        colors=[color(position) for position in range(len(runs))],
        warnings=comparison_warnings(runs),
        metrics=[_column(runs, metric) for metric in all_metrics(runs)],
        published=_published(runs),
        protocols=document()["protocols"],
        source=document()["source"],
        curves=plots,
        smoothable=any(plot.smooth for own in plots.values() for plot in own),
        half_lives=half_lives(runs),
        half_life=HALF_LIFE,
        samples=samples,
        moments=sorted({picture.kimg for found in samples for picture in found.generated}),
        provenance=_rows(side_by_side([run.provenance for run in runs])),
        settings=_rows(side_by_side([run.config for run in runs])),
        limits={"points": MAX_POINTS, "pictures": pictures, "size": picture_size},
    )


def _column(runs: Sequence[Run], metric: str) -> dict[str, Any]:
    """What the table of scores says of a metric; `apart` where not all of its numbers compare."""
    return {
        "name": metric,
        "better": better(metric),
        "scores": [score(run, metric) for run in runs],
        "winners": winners(runs, metric),
        "few": [run.note_on(metric) is not None for run in runs],
        "apart": len(groups(runs, metric)) > 1,
    }


def _rows(table: dict[str, list[str]]) -> list[tuple[str, list[str], bool]]:
    return [(name, texts, differs(texts)) for name, texts in table.items()]


def _published(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What the page says of the runs that stand beside a published row."""
    found = []
    for run in runs:
        if row := published_row(run):
            figures = [(metric, value, score(run, metric)) for metric, value in row.scores.items()]
            found.append({"run": run, "row": row, "figures": figures, "deviations": deviations(run, row)})
    return found


def write(runs: Sequence[Run], out: Path, pictures: int = 12, picture_size: int = 640) -> int:
    """Write what `render` makes, making its folder; returns its size in bytes."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.write_bytes(render(runs, pictures, picture_size).encode("utf-8", errors="replace"))
