"""What all matplotlib figures share. They are objects of their own, not pyplot's: nothing global, nothing to close."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:  # matplotlib takes half a second to import: only who draws waits for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
COLOURS = ("#000000", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#e69f00")  # told apart by colour-blind people too
MAX_ROWS = 32  # a picture of some ten thousand pixels in height; viewers and Agg give up soon after
LONGEST_SIDE = 10_000  # pixels of a table of images, which are shown smaller where they would need more
PANEL, GAP, TEXT, MARGIN = 1.0, 0.08, 0.3, 0.45  # inches, of a table of images: TEXT below each, MARGIN around all


def render(figure: "Figure") -> np.ndarray:
    """A figure as uint8 image [H, W, 3]. Names of files in it may hold bytes that are no text, and dollar signs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text(text.get_text().encode("utf-8", errors="backslashreplace").decode())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def as_rgb(image_HWC: np.ndarray) -> np.ndarray:
    """A gray image becomes a colour image."""
    return np.broadcast_to(image_HWC, (*image_HWC.shape[:2], 3))


def frame(axes: "Axes", colour: str, width: float) -> None:
    """Replace an image's ticks by a frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(edgecolor=colour, linewidth=width)


def show(axes: "Axes", image_HWC: np.ndarray, below: str = "", colour: str = "#808080", width: float = 0.5) -> None:
    """Draw a uint8 image [H, W, 1 or 3] in a frame, with a text below it."""
    axes.imshow(as_rgb(image_HWC))
    axes.set_xlabel(below, fontsize=8)
    frame(axes, colour, width)


def logarithmic(axes: "Axes", subs: tuple[float, ...] = (1.0,)) -> None:
    """Make the y axis logarithmic, with ticks at `subs` of every decade, in the plain numbers that `render` shows."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


class Panel(NamedTuple):
    """An image of a table.

    Attributes:
        image: uint8 [H, W, 1 or 3].
        below: Text below it.
        colour: Of its frame.
        width: Of its frame, in points.
    """

    image: np.ndarray
    below: str = ""
    colour: str = "#808080"
    width: float = 0.5


def image_table(rows: "Sequence[Sequence[Panel | None]]", title: str, names: Sequence[str] = ()) -> "Figure":
    """Rows of images in frames, with texts below them, under a title; each row may have a name at its left.

    Args:
        rows: The images; None is an empty place.
        title: Above all of them.
        names: One per row, or none.
    """
    from matplotlib.figure import Figure

    columns = max(map(len, rows))
    width = 2 * MARGIN + columns * (PANEL + GAP) - GAP
    height = 2 * MARGIN + len(rows) * (PANEL + TEXT)
    resolution = max(panel.image.shape[0] for row in rows for panel in row if panel is not None)
    dpi = max(DPI, min(math.ceil(resolution / PANEL), int(LONGEST_SIDE / max(width, height))))
    figure = Figure(figsize=(width, height), dpi=dpi)
    figure.text(MARGIN / width, 1 - MARGIN / 2 / height, title, fontsize=9, va="center")
    for r, row in enumerate(rows):
        bottom = 1 - (MARGIN + r * (PANEL + TEXT) + PANEL) / height
        for c, panel in enumerate(row):
            if panel is not None:
                left = (MARGIN + c * (PANEL + GAP)) / width
                show(figure.add_axes((left, bottom, PANEL / width, PANEL / height)), *panel)
        if names:
            middle = bottom + PANEL / 2 / height
            figure.text(MARGIN / 2 / width, middle, names[r], fontsize=8, ha="center", va="center", rotation=90)
    return figure
