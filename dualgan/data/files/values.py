"""Which values the pixels of a file have, and which of them become black and white."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ValueRange = list[float]
"""Values, in the file's own units, that become black and white."""

HIGH_BYTES = "16-bit colour"
_FULL = {"8-bit": (0, 255), "1-bit": (0, 1), "16-bit": (0, 65535), HIGH_BYTES: (0, 65535)}
_SAMPLED = 256  # pixels each way: enough to see whether 8-bit images are dark


class Values(NamedTuple):
    """The kind of the pixels of a file, such as "16-bit", and the least and the greatest of their values."""

    kind: str
    low: float
    high: float


class NoRangeError(ValueError):
    """The values of a file have no range that is black and white to everyone."""

    def __init__(self, values: Values) -> None:
        self.values = values
        super().__init__(
            f"{values.kind} pixels have no fixed range, and these go from {values.low:g} to {values.high:g}: say which "
            f"values are black and white with value_range"
        )


def full_range(kind: str) -> tuple[float, float] | None:
    """The range that a kind of pixels has by its type; None where that is not what black and white are."""
    return _FULL.get(kind)


def checked_range(value_range: Sequence[float] | None) -> ValueRange | None:
    """Return a range of values as a list.

    Raises:
        ValueError: It is not two finite numbers, the lower one first.
    """
    if value_range is None:
        return None
    numbers = [int(value) if value == int(value) else value for value in value_range if math.isfinite(value)]
    if len(numbers) != 2 or len(value_range) != 2 or numbers[0] >= numbers[1]:
        raise ValueError(
            f"value_range {list(value_range)} is impossible: expected the values of black and white, such as [0, 4095]."
        )
    return numbers


def kind_of(file: Image.Image) -> str:
    """What the pixels of an opened file are, before they are decoded."""
    bits, sign = _tiff_tags(file)
    if file.mode == "F":
        return "float"
    if file.mode == "1":
        return "1-bit"
    if file.mode.startswith("I;16") or (file.mode == "I" and file.format in ("PPM", "PNG")):
        return "16-bit"
    if file.mode == "I" or (file.mode == "L" and sign == 2):
        return f"{'signed ' if sign == 2 else ''}{bits}-bit"
    # Pillow drops the low byte while it decodes.
    return HIGH_BYTES if any(";16" in str(tile[3]) for tile in getattr(file, "tile", ())) else "8-bit"


def _tiff_tags(file: Image.Image) -> tuple[int, int]:
    """Bits of a sample and its format (2 is signed) as a TIFF file says them."""
    tags: Any = getattr(file, "tag_v2", {})
    bits, sign = tags.get(258, 32), tags.get(339, 1)
    return (bits[0] if isinstance(bits, tuple) else bits), (sign[0] if isinstance(sign, tuple) else sign)


def values_of(image: Image.Image, kind: str) -> Values:
    """The range of the values of a decoded image: exact, but for 8 bits per channel a sample of the pixels."""
    if kind == "1-bit" or (kind in ("8-bit", HIGH_BYTES)):
        small = image.resize((min(image.width, _SAMPLED), min(image.height, _SAMPLED)), Image.Resampling.NEAREST)
        extrema = small.convert("L" if image.mode in ("1", "L", "LA") else "RGB").getextrema()
        flat = np.ravel(extrema).tolist()
        low, high = min(flat), max(flat)
        if kind == HIGH_BYTES:
            return Values(kind, low * 256, high * 256 + 255)
        return Values(kind, low / 255, high / 255) if kind == "1-bit" else Values(kind, low, high)
    array = own_values(image, kind)
    return Values(kind, float(array.min()), float(array.max()))


def own_values(image: Image.Image, kind: str) -> NDArray[Any]:
    """The values [H, W] of an image that is not one of bytes.

    Raises:
        ValueError: One is not finite.
    """
    array = np.asarray(image)
    if kind == "signed 8-bit":
        return array.view(np.int8)
    if not np.isfinite(array).all():
        raise ValueError("some of its values are not finite (NaN or infinity): correct them, or remove the file")
    return array


def to_bytes(array: NDArray[Any], value_range: ValueRange) -> NDArray[np.uint8]:
    """Scale values so that a range of them becomes 0 to 255; what lies outside is clipped."""
    low, high = value_range
    return np.clip(np.rint((array.astype(np.float64) - low) * (255 / (high - low))), 0, 255).astype(np.uint8)


def lookup(kind: str, value_range: ValueRange) -> list[int]:
    """What becomes of each of the 256 values of a channel of bytes."""
    values = np.arange(256) / (255 if kind == "1-bit" else 1)
    table: list[int] = to_bytes(values, value_range).tolist()
    return table
