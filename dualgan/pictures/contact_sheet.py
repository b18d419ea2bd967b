"""Contact sheets: many images on one page, or pairs of images to compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

TILE = 128  # pixels; smaller images are enlarged by whole factors
_GAP = 8  # between groups
_APART = 4  # images of a group
_MARGIN = 20
_TITLE = 18  # points, as are the captions
_CAPTION = 11
_LINE = 15
_INK, _FAINT, _PAPER, _OUTLINE = "#202020", "#707070", "#ffffff", "#c8c8c8"


@dataclass(frozen=True)
class Group:
    """Images beside each other, with their names below and what they have in common."""

    images: Sequence[Image.Image]
    names: Sequence[str] = ()
    caption: str = ""


def contact_sheet(groups: Sequence[Group], columns: int, title: str) -> Image.Image:
    """Lay groups of equally many images out in reading order under a title, `columns` groups per row."""
    columns, rows = min(columns, len(groups)), -(-len(groups) // columns)
    width = len(groups[0].images) * (TILE + _APART) - _APART + _GAP
    height = TILE + (2 * _LINE + _GAP if groups[0].names else 0) + _GAP
    across = max(columns * width - _GAP, round(font(_TITLE).getlength(title)))
    page = Image.new("RGB", (2 * _MARGIN + across, 2 * (_MARGIN + _TITLE) + rows * height - _GAP), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, _MARGIN - 4), title, _INK, font(_TITLE))
    for number, group in enumerate(groups):
        row, column = divmod(number, columns)
        left, top = _MARGIN + column * width, _MARGIN + 2 * _TITLE + row * height
        for k, image in enumerate(group.images):
            _paste(page, draw, image, left + k * (TILE + _APART), top)
        for k, name in enumerate(group.names):
            draw.text((left + k * (TILE + _APART), top + TILE + 3), _elided(name), _FAINT, font(_CAPTION))
        draw.text((left, top + TILE + 3 + _LINE), group.caption, _INK, font(_CAPTION))
    return page


def _paste(page: Image.Image, draw: ImageDraw.ImageDraw, image: Image.Image, left: int, top: int) -> None:
    """Fit an image into a tile, in its middle, with an outline around it: a white one would not be seen."""
    scale = TILE / max(image.size)
    scale = int(scale) if scale >= 1 else scale  # whole pixels stay sharp
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    fitted = image.convert("RGB").resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)
    x, y = left + (TILE - size[0]) // 2, top + (TILE - size[1]) // 2
    draw.rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline=_OUTLINE)
    page.paste(fitted, (x, y))


def _elided(name: str) -> str:
    """The end of a name, as much of it as fits under a tile."""
    drawn = font(_CAPTION)
    if drawn.getlength(name) <= TILE:
        return name
    while drawn.getlength(f"...{name}") > TILE:
        name = name[1:]
    return f"...{name}"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's: it has more letters than Pillow's, whose space is hardly to be seen."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
