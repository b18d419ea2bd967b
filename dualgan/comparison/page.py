"""One HTML file that shows runs side by side and needs nothing else: no network, no server."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from dualgan.comparison.curves import MAX_POINTS, color, curves
from dualgan.comparison.differences import MISSING, comparison_warnings, differs, side_by_side
from dualgan.comparison.pictures import read_samples
from dualgan.comparison.published import deviations, protocols, published_row, source
from dualgan.comparison.scores import Score, all_metrics, score
from dualgan.metrics.names import better
from dualgan.runs.reading import Run
from dualgan.version import __version__


@dataclass(frozen=True)
class PageOptions:
    """What limits the size of a page.

    Attributes:
        pictures: Most sample grids per run, 1 or more.
        picture_size: Longest side of a picture in pixels.
    """

    pictures: int = 12
    picture_size: int = 640


def number(value: float | None) -> str:
    """A number with five digits."""
    return MISSING if value is None else f"{value:.5g}"


def render(runs: Sequence[Run], options: PageOptions | None = None) -> str:
    """The page as text. Everything from the runs' folders is escaped, and the page may load nothing."""
    options = options or PageOptions()
    environment = Environment(
        loader=PackageLoader("dualgan.comparison", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    samples = [read_samples(run.folder, options.pictures, options.picture_size) for run in runs]
    return environment.get_template("page.html").render(
        version=__version__,
        nonce=secrets.token_urlsafe(16),
        plotly=get_plotlyjs(),
        runs=runs,
        colors=[color(position) for position in range(len(runs))],
        warnings=comparison_warnings(runs),
        metrics=[(metric, better(metric), _scores(runs, metric)) for metric in all_metrics(runs)],
        published=_published(runs),
        protocols=protocols(),
        source=source(),
        curves=curves(runs),
        samples=samples,
        moments=sorted({picture.kimg for found in samples for picture in found.generated if picture.kimg is not None}),
        provenance=_rows(side_by_side([run.provenance for run in runs])),
        settings=_rows(side_by_side([run.config for run in runs])),
        limits={"points": MAX_POINTS, "pictures": options.pictures, "size": options.picture_size},
    )


def _scores(runs: Sequence[Run], metric: str) -> list[Score | None]:
    return [score(run, metric) for run in runs]


def _rows(table: dict[str, list[str]]) -> list[tuple[str, list[str], bool]]:
    return [(name, texts, differs(texts)) for name, texts in table.items()]


def _published(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row per run and published figure; none for runs that stand beside no published row."""
    found = []
    for run in runs:
        row = published_row(run)
        if row is not None:
            own = {metric: score(run, metric) for metric in row.scores}
            figures = [(metric, value, own[metric]) for metric, value in row.scores.items()]
            found.append({"run": run, "row": row, "figures": figures, "deviations": deviations(run, row)})
    return found


def write(runs: Sequence[Run], out: Path, options: PageOptions | None = None) -> int:
    """Write the page, making its folder; returns its size in bytes."""
    content = render(runs, options).encode("utf-8", errors="replace")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    return len(content)
