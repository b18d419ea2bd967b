"""Scores over kimg of every row, with a band over its seeds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualgan.comparison.scores import all_metrics, finite
from dualgan.metrics.names import SECTION
from dualgan.pictures.figures import COLOURS, DPI, logarithmic
from dualgan.runs.reading import Run

STYLES = ("-", "--", ":", "-.")  # after each of these the colours repeat
COLUMNS = 3
WIDTH, HEIGHT = 4.2, 3.2  # of a panel, inches
_WIDE = 10  # times the smallest value: more is drawn on a logarithmic axis

Points = Sequence[tuple[float, float]]


def draw_curves(rows: Mapping[str, Sequence[Run]]) -> Figure | None:
    """A panel for every metric that the trainings have measured; None where there is none.

    A line is the mean over a row's seeds, at every kimg of those that have got there, and the band reaches from the
    smallest to the largest of them.

    Args:
        rows: Runs of every row, one per seed.
    """
    metrics = all_metrics([run for runs in rows.values() for run in runs])
    if not metrics:
        return None
    columns = min(COLUMNS, len(metrics))
    lines = -(-len(metrics) // columns)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * lines + 0.5), dpi=DPI, layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, metric in zip(panels, metrics, strict=False):
        _draw(axes, metric, rows)
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), fontsize=8)
    return figure


def _draw(axes: Axes, metric: str, rows: Mapping[str, Sequence[Run]]) -> None:
    for position, (row, runs) in enumerate(rows.items()):
        curves = [points for run in runs if (points := finite(run.series(SECTION + metric)))]
        kimg, low, mean, high = band(curves)
        colour, style = COLOURS[position % len(COLOURS)], STYLES[position // len(COLOURS) % len(STYLES)]
        marker = "." if len(kimg) == 1 else None
        axes.plot(kimg, mean, label=row, color=colour, linestyle=style, marker=marker, linewidth=1.4)
        axes.fill_between(kimg, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_title(metric, fontsize=9)
    axes.set_xlabel("kimg", fontsize=8)
    axes.tick_params(labelsize=7)
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    if len(values) and values.min() > 0 and values.max() > _WIDE * values.min():
        logarithmic(axes, subs=(1, 2, 5))


def band(curves: Sequence[Points]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """kimg, and smallest value, mean and largest value of several curves there: float64 [P] each.

    Between its own points a curve is linear; beyond its last one it is left out.
    """
    kimg = np.unique([k for curve in curves for k, _ in curve])
    if not len(kimg):
        return kimg, kimg, kimg, kimg
    values = np.stack([_at(kimg, curve) for curve in curves])
    return kimg, np.nanmin(values, axis=0), np.nanmean(values, axis=0), np.nanmax(values, axis=0)


def _at(kimg: np.ndarray, curve: Points) -> np.ndarray:
    x, y = np.transpose(sorted(curve))
    return np.asarray(np.interp(kimg, x, y, left=np.nan, right=np.nan))
