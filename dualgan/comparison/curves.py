"""Plots of what runs have logged, over kimg."""

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go
from plotly.colors import qualitative

from dualgan.comparison.pictures import spread
from dualgan.comparison.scores import finite
from dualgan.metrics.names import SECTION
from dualgan.runs.reading import Run

MAX_POINTS = 2000
SECTIONS = {
    "Quality": (SECTION,),
    "Losses": ("loss/", "path_length/"),
    "Contrast": ("contrast/", "logits/"),
    "Gradients": ("gradient_norm/",),
    "Other": ("",),
}
HALF_LIVES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Half-lives of smoothing to choose from, as parts of the longest run; 0 does not smooth."""
HALF_LIFE = 4  # the one that a page begins with
MIN_SMOOTHED = 30  # points; fewer show each by itself
_ALARM = "train/non_finite"  # worth a plot only where it ever was not 0


class Curve(NamedTuple):
    """The plot of a column of metrics.csv as plotly.js takes it: data, one trace per run, and layout.

    `positive` says whether all values are above 0, so that a logarithmic axis shows them; `smooth` whether it is the
    kind of curve, and long enough, to be smoothed.
    """

    column: str
    figure: dict[str, Any]
    positive: bool
    smooth: bool


def color(position: int) -> str:
    """Colour of a run by its position; they repeat after ten."""
    colors: list[str] = qualitative.D3
    return colors[position % len(colors)]


def curves(runs: Sequence[Run]) -> dict[str, list[Curve]]:
    """Plots of all columns that any run has numbers in, by section; sections without any are left out."""
    columns = list(dict.fromkeys(name for run in runs for name in run.columns))
    found: dict[str, list[Curve]] = {}
    for section, prefixes in SECTIONS.items():
        own = [name for name in columns if name.startswith(prefixes)]
        columns = [name for name in columns if not name.startswith(prefixes)]
        if made := [curve for name in own if (curve := _curve(runs, name)) is not None]:
            found[section] = made
    return found


def _curve(runs: Sequence[Run], column: str) -> Curve | None:
    figure, positive = go.Figure(), True
    for position, run in enumerate(runs):
        points = finite(run.series(column))
        if not points:
            continue
        positive = positive and all(value > 0 for _, value in points)
        points = spread(points, MAX_POINTS)
        figure.add_scatter(
            x=[kimg for kimg, _ in points],
            y=[value for _, value in points],
            name=html.escape(run.name),  # plotly shows names as HTML
            meta=position,
            mode="lines+markers" if len(points) < MIN_SMOOTHED else "lines",
            line={"color": color(position), "width": 1.8},
            hovertemplate="%{y:.5g}",
        )
    if not figure.data or (column == _ALARM and not any(any(trace.y) for trace in figure.data)):
        return None
    figure.update_layout(
        template="plotly_white",
        title={"text": html.escape(column), "font": {"size": 14}, "x": 0.02},
        xaxis={"title": "kimg", "hoverformat": ".7g"},
        hovermode="x unified",
        showlegend=False,
        height=280,
        margin={"l": 56, "r": 12, "t": 36, "b": 40},
    )
    noisy = not column.startswith(SECTION) and any(len(trace.x) >= MIN_SMOOTHED for trace in figure.data)
    return Curve(column, figure.to_plotly_json(), positive, noisy)


def half_lives(runs: Sequence[Run]) -> list[float]:
    """HALF_LIVES in kimg: the same for all runs, however often they have logged."""
    longest = max((run.kimg or 0.0 for run in runs), default=0.0)
    return [part * longest for part in HALF_LIVES]
