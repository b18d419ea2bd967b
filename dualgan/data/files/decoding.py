"""From the bytes of an image file to a square uint8 array, whatever the file's colour mode."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dualgan.files.atomic import digest

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# Pillow goes by the content, not by the name, and some of its other decoders start programs (PostScript).
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")

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
    """

    resolution: int
    num_channels: int
    resize_filter: ResizeFilter
    crop: Crop

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
        return digest([[self.resolution, self.resize_filter, self.crop, self.num_channels], list(sha256)])


def decode(content: bytes) -> Image.Image:
    """Decode a file into an upright image of mode L (gray files) or RGB (all others).

    Animations give their first frame, EXIF rotation is applied, transparency is composited on white, 16-bit gray is
    scaled to 8 bits.

    Raises:
        ValueError: For files that are empty or of another format, pixels that have no fixed range (float, 32-bit) and
            images too large to be meant, which are refused before their pixels are decoded.
        Exception: Pillow's decoders raise many kinds for broken files.
    """
    with opened(content) as file:
        limit = Image.MAX_IMAGE_PIXELS  # up to twice of which Pillow only warns
        if limit is not None and file.width * file.height > limit:
            raise ValueError(
                f"{file.width}x{file.height} pixels are more than the {limit} that are thought safe to decode"
            )
        image = ImageOps.exif_transpose(file)
        image.load()
    if image.mode.startswith("I"):  # a transparent gray value among 65,536 is ignored
        return _from_16_bits(image)
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    if image.mode == "F":
        raise ValueError("float pixels have no fixed range; convert the file to 8 or 16 bits")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


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
        return Image.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError("the content is no PNG, JPEG, WebP, BMP, GIF or TIFF image") from error


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
