"""From the bytes of an image file to a square uint8 array, whatever the file's colour mode."""

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

ResizeFilter = Literal["box", "lanczos"]
_FILTERS = {"box": Image.Resampling.BOX, "lanczos": Image.Resampling.LANCZOS}


def decode(content: bytes) -> Image.Image:
    """Decode a file into an upright image of mode L (gray files) or RGB (all others).

    Animations give their first frame, EXIF rotation is applied, transparency is composited on white, 16-bit gray is
    scaled to 8 bits.

    Raises:
        ValueError: For pixels that have no fixed range (float, 32-bit) and images too large to be meant.
        Exception: Pillow's decoders raise many kinds for broken files.
    """
    with Image.open(io.BytesIO(content)) as file:
        _check_size(file)
        image = ImageOps.exif_transpose(file)
        image.load()
    if image.mode.startswith("I"):  # a transparent gray value among 65,536 is ignored
        return _from_16_bits(image)
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    if image.mode == "F":
        raise ValueError("float pixels have no fixed range; convert the file to 8 or 16 bits")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def to_square(image: Image.Image, resolution: int, num_channels: int, resize_filter: ResizeFilter) -> NDArray[np.uint8]:
    """Crop the centre square and resize it: uint8 [resolution, resolution, num_channels]."""
    image = image.convert("L" if num_channels == 1 else "RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != resolution:
        image = image.resize((resolution, resolution), _FILTERS[resize_filter])
    return np.asarray(image, np.uint8).reshape(resolution, resolution, num_channels)


def _check_size(image: Image.Image) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    # Pillow only warns up to twice its limit.
    if limit is not None and image.width * image.height > limit:
        raise ValueError(
            f"{image.width}x{image.height} pixels are more than the {limit} that are thought safe to decode"
        )


def _on_white(image: Image.Image) -> Image.Image:
    gray = image.mode in ("1", "L", "LA", "La")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("L" if gray else "RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, np.int64)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise ValueError("32-bit pixels have no fixed range; convert the file to 8 or 16 bits")
    return Image.fromarray((values // 256).astype(np.uint8))
