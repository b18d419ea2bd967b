"""What every place of images answers: its images one by one, what stands for their content, and their classes."""

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualgan.data.files.decoding import decode, opened


@dataclass(frozen=True)
class Entry:
    """One image: its name below the root and a stamp that changes with its content (size and time, or CRC)."""

    name: str
    stamp: str


@dataclass(frozen=True)
class ImageFile:
    """The content of an image file."""

    content: bytes

    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def header(self) -> tuple[str, str, int]:
        """Format and colour mode in Pillow's terms, and size in bytes, without decoding."""
        with opened(self.content) as file:
            return file.format or "", file.mode, len(self.content)

    def decode(self) -> Image.Image:
        """Return the upright image, of mode L or RGB. Decoders raise many kinds of exceptions for broken files."""
        return decode(self.content)


@dataclass(frozen=True)
class PixelArray:
    """Pixels of an array, uint8 [H, W, 3] or gray [H, W], and what its format is called."""

    pixels: NDArray[np.uint8]
    format: str = "array"

    def sha256(self) -> str:
        """Hash of the BMP file that holds these pixels: so the fingerprints of such sets are defined."""
        file = io.BytesIO()
        self.decode().save(file, "BMP")
        return hashlib.sha256(file.getbuffer()).hexdigest()

    def header(self) -> tuple[str, str, int]:
        """Format, colour mode and size in bytes."""
        return self.format, self.decode().mode, self.pixels.nbytes

    def decode(self) -> Image.Image:
        """Return the image, of mode L or RGB."""
        return Image.fromarray(self.pixels)


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
    """

    decoded_first: bool = True
    prepared: Mapping[str, Any] = {}

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

    def stamp(self) -> str:
        """Text that changes with the content of any image; empty where only the entries' stamps do."""
        return ""

    def labels(self, names: Sequence[str]) -> Labels | None:
        """Return the classes of the named images, or None for a set that says nothing about them."""
        return None
