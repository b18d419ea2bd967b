"""What every place of images answers: its images one by one, what stands for their content, and their classes."""

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualgan.data.files.decoding import Decoded, decode, opened
from dualgan.data.files.values import ValueRange, Values, to_bytes


@dataclass(frozen=True)
class Entry:
    """One image: its name below the root and a stamp that changes with its content (size and time, or CRC)."""

    name: str
    stamp: str


class Remark(NamedTuple):
    """A sentence about a set, for its user; an alarm where the set is likely not what the user thinks."""

    text: str
    alarm: bool = False


@dataclass(frozen=True)
class ImageFile:
    """The content of an image file; with `frame` only that one of its frames is meant."""

    content: bytes
    frame: int | None = None

    def sha256(self) -> str:
        """Hash of the file, and of the frame's number."""
        whole = hashlib.sha256(self.content).hexdigest()
        return whole if self.frame is None else hashlib.sha256(f"{whole}#{self.frame}".encode()).hexdigest()

    def header(self) -> tuple[str, str, int]:
        """Format and colour mode in Pillow's terms, and size of the file in bytes, without decoding."""
        with opened(self.content) as file:
            if self.frame:
                file.seek(self.frame)
            return file.format or "", file.mode, len(self.content)

    def decode(self, value_range: ValueRange | None = None, survey: bool = False) -> Decoded:
        """Decode the image, see `decode`. Decoders raise many kinds of exceptions for broken files."""
        found = decode(self.content, value_range, self.frame or 0, survey)
        return found if self.frame is None else replace(found, frames=1)


@dataclass(frozen=True)
class PixelArray:
    """Pixels of an array, uint8 [H, W, 3] or gray [H, W], and what its format is called."""

    pixels: NDArray[np.uint8]
    format: str = "array"

    def sha256(self) -> str:
        """Hash of the BMP file that holds these pixels: so the fingerprints of such sets are defined."""
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "BMP")
        return hashlib.sha256(file.getbuffer()).hexdigest()

    def header(self) -> tuple[str, str, int]:
        """Format, colour mode and size in bytes."""
        return self.format, Image.fromarray(self.pixels).mode, self.pixels.nbytes

    def decode(self, value_range: ValueRange | None = None, survey: bool = False) -> Decoded:
        """Return the image, of mode L or RGB."""
        pixels = to_bytes(self.pixels, value_range) if value_range else self.pixels
        values = Values("8-bit", int(self.pixels.min()), int(self.pixels.max())) if survey else None
        return Decoded(Image.fromarray(pixels), self.format, values=values)


StoredImage = ImageFile | PixelArray


@dataclass(frozen=True, eq=False)
class Labels:
    """The classes of some images.

    Attributes:
        classes: Class of every image, int64 [N]: its place in `names`.
        names: The classes' names in the order of their numbers: what they are called in the set.
        stated: Whether the set itself says so; otherwise they are what its folders suggest.

    A set that states that it has no classes has labels without names.
    """

    classes: NDArray[np.int64]
    names: tuple[str, ...]
    stated: bool = True

    def counts(self) -> dict[str, int]:
        """Images of every class that has any."""
        numbers = np.bincount(self.classes, minlength=len(self.names)).tolist()
        return {name: number for name, number in zip(self.names, numbers, strict=True) if number}


class Files(ABC):
    """The images of a set, wherever they lie. Processes may share or pickle it.

    Attributes:
        root: The place.
        decoded_first: Whether a training decodes every image once before it begins, and so knows what is broken.
        prepared: Settings that the images were prepared with already, such as resize_filter and crop.
        remarks: What `entries` has left out, for the user.
    """

    decoded_first: bool = True
    prepared: Mapping[str, Any] = {}
    remarks: Sequence[Remark] = ()

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def entries(self) -> Sequence[Entry]:
        """List the images, sorted by name."""

    @abstractmethod
    def read(self, name: str) -> StoredImage:
        """Fetch one image."""

    def names(self) -> Sequence[str]:
        """List the names of the images, sorted."""
        return [entry.name for entry in self.entries()]

    def count_frames(self, name: str) -> int:
        """How many frames an image file holds; 1 where files hold one each."""
        return 1

    def stamp(self) -> str:
        """Text that changes with the content of any image; empty where only the entries' stamps do."""
        return ""

    def labels(self, names: Sequence[str]) -> Labels | None:
        """Return the classes of the named images, or None for a set that says nothing about them."""
        return None
