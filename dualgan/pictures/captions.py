"""Texts in pictures: black on white, in few shades, so that films of few colours keep them as they are."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SHADES = np.linspace(0, 255, 8).round().astype(np.uint8)
"""Values of a text's pixels, from black to white."""
HEIGHT = 24  # pixels of a line
_TEXT, _BEFORE, _WIDEST = 14, 8, 320  # points; pixels


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's: it has more letters than Pillow's, whose space is hardly to be seen."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def written(text: str, width: int, height: int = HEIGHT) -> np.ndarray:
    """A text on one line at the left, in its middle; uint8 [height, width, 1], all of them among `SHADES`."""
    strip = Image.new("L", (width, height), "white")
    ImageDraw.Draw(strip).text((_BEFORE, height / 2), _plain(text), "black", font(_TEXT), anchor="lm")
    values: np.ndarray = SHADES[shades(np.asarray(strip))]
    return values[..., None]


def shades(values: np.ndarray) -> np.ndarray:
    """Which of `SHADES` is nearest to each value, uint8 of any shape."""
    return (values / 255 * (len(SHADES) - 1)).round().astype(np.uint8)


def with_row_names(rows: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Rows of images below each other, each with its name at the left.

    Args:
        rows: uint8 [H, W, 1 or 3] each, all of one size and not much lower than a line of text.
        names: One per row; the end of a long one is left out.

    Returns:
        uint8 [rows * H, names + W, 1 or 3].
    """
    texts = [_elided(_plain(name)) for name in names]
    wide = max(_width(text) for text in texts) + 2 * _BEFORE
    height, channels = rows[0].shape[0], rows[0].shape[2]
    beside = [written(text, wide, height).repeat(channels, axis=2) for text in texts]
    return np.concatenate([np.concatenate(pair, axis=1) for pair in zip(beside, rows, strict=True)])


def _plain(text: str) -> str:
    """A text that can be drawn: names may hold bytes that are no text, and line breaks."""
    return " ".join(text.encode("utf-8", errors="backslashreplace").decode().split())


def _elided(name: str) -> str:
    if _width(name) <= _WIDEST:
        return name
    while _width(f"{name}...") > _WIDEST:
        name = name[:-1]
    return f"{name}..."


def _width(text: str) -> int:
    return -int(-font(_TEXT).getlength(text) // 1)
