"""From the bytes of an image file to a square uint8 array, whatever the file's colour mode."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dualgan.data.files.kinds import count_frames, formats
from dualgan.data.files.values import (
    HIGH_BYTES,
    NoRangeError,
    ValueRange,
    Values,
    full_range,
    kind_of,
    lookup,
    own_values,
    to_bytes,
    values_of,
)
from dualgan.files.atomic import digest

ResizeFilter = Literal["box", "lanczos"]
Crop = Literal["center", "celeba", "none"]
_FILTERS = {"box": Image.Resampling.BOX, "lanczos": Image.Resampling.LANCZOS}


@dataclass
class Preparation:
    """How images of files become pixels.

    Attributes:
        resolution: Height and width of the images.
        num_channels: 3 for colour, 1 for gray.
        resize_filter: Pillow's filter that resizes them.
        crop: Square that is kept of each before.
        value_range: Values of the files that become black and white; the full range of their type by default.
    """

    resolution: int
    num_channels: int
    resize_filter: ResizeFilter
    crop: Crop
    value_range: ValueRange | None = field(default=None, kw_only=True)

    @property
    def image_bytes(self) -> int:
        """Size of one image."""
        return self.resolution * self.resolution * self.num_channels

    def apply(self, image: Image.Image) -> NDArray[np.uint8]:
        """Crop and resize a decoded image. Raises what `to_square` does."""
        return to_square(image, self.resolution, self.num_channels, self.resize_filter, self.crop)

    def fingerprint_of(self, sha256: Sequence[str]) -> str:
        """Fingerprint of images by how they are prepared and the SHA-256 of each image file, in their order.

        It is the same for files that are decoded at every reading and for their packed form.
        """
        how: list[Any] = [self.resolution, self.resize_filter, self.crop, self.num_channels]
        return digest([how + ([self.value_range] if self.value_range else []), list(sha256)])


@dataclass(frozen=True)
class Decoded:
    """A decoded image.

    Attributes:
        image: The upright image, of mode L (gray files) or RGB (all others).
        format: Format of the file in Pillow's terms.
        frames: How many frames the file holds; 1 where nobody asked.
        values: The file's own values; None where nobody asked.
    """

    image: Image.Image
    format: str = ""
    frames: int = 1
    values: Values | None = None


def decode(content: bytes, value_range: ValueRange | None = None, frame: int = 0, survey: bool = False) -> Decoded:
    """Decode a file, or one frame of it.

    EXIF rotation is applied, transparency is composited on white, 16 bits are scaled to 8.

    Args:
        content: The file.
        value_range: Values that become black and white; the full range of their type by default.
        frame: Which of the frames, from 0 on.
        survey: Also find out the range of the values and the number of frames.

    Raises:
        NoRangeError: Pixels have no fixed range (float, signed, 32 bits), and none is given.
        ValueError: For files that are empty or of another format, and images too large to be meant, which are refused
            before their pixels are decoded.
        Exception: Pillow's decoders raise many kinds for broken files.
    """
    with opened(content) as file:
        if frame:
            file.seek(frame)
        limit = Image.MAX_IMAGE_PIXELS  # up to twice of which Pillow only warns
        if limit is not None and file.width * file.height > limit:
            raise ValueError(
                f"{file.width}x{file.height} pixels are more than the {limit} that are thought safe to decode"
            )
        kind, name = kind_of(file), file.format or ""
        image = ImageOps.exif_transpose(file)
        image.load()
        frames = count_frames(file) if survey else 1
    flat = _flattened(image, kind, value_range)
    if not survey or 0 in image.size:
        return Decoded(flat, name, frames)
    transparent = _is_transparent(image)  # is judged by what is seen
    return Decoded(flat, name, frames, values_of(_on_white(image) if transparent else image, kind))


def to_square(
    image: Image.Image, resolution: int, num_channels: int, resize_filter: ResizeFilter, crop: Crop = "center"
) -> NDArray[np.uint8]:
    """Crop a square and resize it: uint8 [resolution, resolution, num_channels].

    Raises:
        ValueError: The image is not square and the crop is "none", or it is too small for the crop.
    """
    image = image.convert("L" if num_channels == 1 else "RGB").crop(crop_box(image.width, image.height, crop))
    if image.size != (resolution, resolution):
        image = image.resize((resolution, resolution), _FILTERS[resize_filter])
    return np.asarray(image, np.uint8).reshape(resolution, resolution, num_channels)


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the square that is kept.

    "center" is the largest centred square, "celeba" the 128x128 square around the face of an aligned CelebA image
    (centre at x 89, y 121, as in the GAN literature), "none" the whole image.

    Raises:
        ValueError: The image is not square and the crop is "none", or it is too small for the crop.
    """
    if crop == "celeba":
        if width < 153 or height < 185:
            raise ValueError(
                f"{width}x{height} pixels are too few for crop 'celeba': aligned CelebA images have 178x218"
            )
        return 25, 57, 153, 185
    if crop == "none":
        if width != height:
            raise ValueError(f"{width}x{height} pixels are not square: crop 'center' would cut the middle out")
        return 0, 0, width, height
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def opened(content: bytes) -> Image.Image:
    """An image file whose pixels are not decoded yet. Raises ValueError if it is empty or of another format."""
    if not content:
        raise ValueError("the file is empty")
    try:
        return Image.open(io.BytesIO(content), formats=formats())
    except UnidentifiedImageError as error:
        raise ValueError("the content is no image that Pillow can read by itself") from error


def _flattened(image: Image.Image, kind: str, value_range: ValueRange | None) -> Image.Image:
    """An image of mode L or RGB, whatever the mode and the values."""
    if kind == HIGH_BYTES and value_range:
        raise ValueError(
            "it has 16 bits per colour channel, of which Pillow reads 8, and value_range would need all of them: "
            "convert it to 8 bits"
        )
    if value_range is None and full_range(kind) is None:
        raise NoRangeError(values_of(image, kind))
    if image.mode == "F" or image.mode.startswith("I") or kind == "signed 8-bit":
        array = own_values(image, kind)  # a transparent gray value among 65,536 is ignored
        return Image.fromarray(to_bytes(array, value_range) if value_range else (array // 256).astype(np.uint8))
    table = lookup(kind, value_range) if value_range else list(range(256))
    if _is_transparent(image):
        return _on_white(image, table)
    flat = image.convert("L" if image.mode in ("1", "L") else "RGB")
    return flat.point(table * len(flat.getbands())) if value_range else flat


def _is_transparent(image: Image.Image) -> bool:
    coloured = image.mode != "F" and not image.mode.startswith("I")
    return image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or ("transparency" in image.info and coloured)


def _on_white(image: Image.Image, table: Sequence[int] = range(256)) -> Image.Image:
    gray = image.mode in ("1", "L", "LA", "La")
    rgba = image.convert("RGBA").point([*table, *table, *table, *range(256)])
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("L" if gray else "RGB")
