"""Pictures as the page shows them: enlarged, with the map of a pixel's attention over them."""

from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from dualgan.pictures import grids
from dualgan.pictures.figures import as_rgb
from dualgan.pictures.grids import png
from dualgan.studies.attention import COLOURS, AttentionMaps, Fraction

SIDE = 512  # pixels; smaller images are enlarged by whole factors
OPACITY = 0.65  # of a map


def side_of(resolution: int) -> int:
    """Pixels that an enlarged picture of some resolution is wide and high."""
    return resolution * max(1, SIDE // resolution)


def enlarged(image: np.ndarray) -> np.ndarray:
    """A uint8 image [H, W, 1 or 3] as [k H, k W, 3], every pixel a square."""
    factor = side_of(len(image)) // len(image)
    return grids.enlarged(as_rgb(image), factor)


def as_url(picture: np.ndarray) -> str:
    """A uint8 picture [H, W, 3] as an address that holds it, written fast rather than small."""
    return "data:image/png;base64," + b64encode(png(picture, effort=1)).decode()


def as_fraction(index: Sequence[float], side: int) -> Fraction:
    """A click at (x, y) of an image that is `side` pixels wide and high, as parts of its height and width.

    Raises:
        ValueError: It is no such pair, or lies outside.
    """
    try:
        column, row = (float(place) / side for place in index)
    except (TypeError, ValueError):
        raise ValueError(f"click at {index!r}: expected x and y in pixels of the picture") from None
    if not (0 <= row < 1 and 0 <= column < 1):
        raise ValueError(f"click at {index!r}: it lies outside of the picture of {side} x {side} pixels")
    return row, column


def overlaid(maps: AttentionMaps) -> np.ndarray:
    """The first sample with its first map over it, and a dot where it looks from; uint8 [k H, k W, 3].

    The map is drawn from its smallest value (dark) to its largest (bright). That of a footprint has a frame, and only
    what lies on the picture is seen of it.
    """
    picture = enlarged(maps.images[0])
    side = picture.shape[0]
    left, right, bottom, top = (
        _pixels(edge, maps, side) for edge in maps.extent(None if maps.footprint is None else 0)
    )
    smooth = Image.Resampling.BILINEAR if maps.footprint is None else Image.Resampling.NEAREST
    colours = Image.fromarray(_coloured(maps.maps[0, 0])).resize((right - left, bottom - top), smooth)
    page = Image.fromarray(picture)
    layer = page.convert("L").convert("RGB")
    layer.paste(colours, (left, top))
    inside = Image.new("L", page.size)
    inside.paste(255, (left, top, right, bottom))
    page.paste(Image.blend(page.convert("L").convert("RGB"), layer, OPACITY), mask=inside)
    draw = ImageDraw.Draw(page)
    if maps.footprint is not None:
        for colour, grown in (("white", 2), (COLOURS[0], 0)):  # the rim shows on a picture of the same colour
            draw.rectangle((left - grown, top - grown, right - 1 + grown, bottom - 1 + grown), outline=colour, width=2)
    _mark(draw, maps, side)
    return np.asarray(page)


def _mark(draw: ImageDraw.ImageDraw, maps: AttentionMaps, side: int) -> None:
    row, column = (_pixels(place, maps, side) for place in maps.pixels[0])
    radius = max(4, side // 80)
    circle = (column - radius, row - radius, column + radius, row + radius)
    draw.ellipse(circle, fill=COLOURS[0], outline="white", width=2)


def _pixels(place: float, maps: AttentionMaps, side: int) -> int:
    """A row or column of the feature map, whose pixels have their middles at whole numbers, in the enlarged picture."""
    return round((place + 0.5) / maps.resolution * side)


def _coloured(values: np.ndarray) -> np.ndarray:
    """Values [h, w] from dark to bright, uint8 [h, w, 3]."""
    from matplotlib import colormaps

    span = float(values.max() - values.min())
    level = (values - values.min()) / span if span > 0 else np.zeros_like(values)
    return np.asarray(colormaps["magma"](level, bytes=True))[..., :3].copy()
