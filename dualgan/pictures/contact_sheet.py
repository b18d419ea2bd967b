"""Contact sheets: many images on one page, and pairs of images to compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

TILE = 128  # pixels; smaller images are enlarged by whole factors
_GAP = 8
_MARGIN = 20
_TITLE = 18  # points, as are the captions
_CAPTION = 11
_LINE = 15
_INK, _FAINT, _PAPER = "#202020", "#707070", "#ffffff"


@dataclass(frozen=True)
class Pair:
    """Two images beside each other, with their names below and what they have in common."""

    images: tuple[Image.Image, Image.Image]
    names: tuple[str, str]
    caption: str


def contact_sheet(images: Sequence[Image.Image], columns: int, title: str) -> Image.Image:
    """Lay images out in reading order under a title."""
    page = _page(len(images), columns, TILE, TILE, title)
    for number, image in enumerate(images):
        left, top = _corner(number, columns, TILE, TILE)
        _paste(page, image, left, top)
    return page


def pair_sheet(pairs: Sequence[Pair], columns: int, title: str) -> Image.Image:
    """Lay pairs of images out in reading order under a title, `columns` pairs per row."""
    width, height = 2 * TILE + 2, TILE + 2 * _LINE + _GAP
    page = _page(len(pairs), columns, width, height, title)
    draw = ImageDraw.Draw(page)
    for number, pair in enumerate(pairs):
        left, top = _corner(number, columns, width, height)
        for image, name, x in zip(pair.images, pair.names, (left, left + TILE + 2), strict=True):
            _paste(page, image, x, top)
            draw.text((x, top + TILE + 3), _elided(name), _FAINT, _font(_CAPTION))
        draw.text((left, top + TILE + 3 + _LINE), pair.caption, _INK, _font(_CAPTION))
    return page


def _page(count: int, columns: int, width: int, height: int, title: str) -> Image.Image:
    columns, rows = min(columns, count), -(-count // columns)
    text = _font(_TITLE).getlength(title)
    size = (
        2 * _MARGIN + max(columns * (width + _GAP) - _GAP, round(text)),
        2 * _MARGIN + 2 * _TITLE + rows * (height + _GAP) - _GAP,
    )
    page = Image.new("RGB", size, _PAPER)
    ImageDraw.Draw(page).text((_MARGIN, _MARGIN - 4), title, _INK, _font(_TITLE))
    return page


def _corner(number: int, columns: int, width: int, height: int) -> tuple[int, int]:
    row, column = divmod(number, columns)
    return _MARGIN + column * (width + _GAP), _MARGIN + 2 * _TITLE + row * (height + _GAP)


def _paste(page: Image.Image, image: Image.Image, left: int, top: int) -> None:
    """Fit an image into a tile, in its middle."""
    scale = TILE / max(image.size)
    scale = int(scale) if scale >= 1 else scale  # whole pixels stay sharp
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    fitted = image.convert("RGB").resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)
    page.paste(fitted, (left + (TILE - size[0]) // 2, top + (TILE - size[1]) // 2))


def _elided(name: str) -> str:
    """The end of a name, as much of it as fits under a tile."""
    font = _font(_CAPTION)
    if font.getlength(name) <= TILE:
        return name
    while font.getlength(f"...{name}") > TILE:
        name = name[1:]
    return f"...{name}"


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
