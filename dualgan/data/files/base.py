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

from dualgan.data.files.decoding import decode, header


@dataclass(frozen=True)
class Entry:
    """One image: its name below the root and a stamp that changes with its content (size and time, or CRC)."""

    name: str
    stamp: str


class StoredImage(ABC):
    """An image as it lies in its place."""

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """Size there."""

    @abstractmethod
    def sha256(self) -> str:
        """Hash of the content, in hexadecimal digits."""

    @abstractmethod
    def header(self) -> tuple[str, str]:
        """Format and colour mode ("JPEG", "CMYK"), without decoding."""

    @abstractmethod
    def decode(self) -> Image.Image:
        """Return the upright image, of mode L or RGB. Decoders raise many kinds of exceptions for broken files."""


@dataclass(frozen=True)
class ImageFile(StoredImage):
    """The content of an image file."""

    content: bytes

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return len(self.content)

    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def header(self) -> tuple[str, str]:
        """Format and colour mode in Pillow's terms."""
        return header(self.content)

    def decode(self) -> Image.Image:
        """Decode the file, as `decoding.decode` does."""
        return decode(self.content)


@dataclass(frozen=True)
class PixelArray(StoredImage):
    """Pixels of an array, uint8 [H, W, 3] or gray [H, W], and what its format is called."""

    pixels: NDArray[np.uint8]
    format: str = "array"

    @property
    def num_bytes(self) -> int:
        """Number of values."""
        return self.pixels.nbytes

    def sha256(self) -> str:
        """Hash of the BMP file that holds these pixels: so the fingerprints of such sets are defined."""
        file = io.BytesIO()
        self.decode().save(file, "BMP")
        return hashlib.sha256(file.getbuffer()).hexdigest()

    def header(self) -> tuple[str, str]:
        """Format of the set, and L or RGB."""
        return self.format, self.decode().mode

    def decode(self) -> Image.Image:
        """Return the pixels."""
        return Image.fromarray(self.pixels)


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

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Return the class of every named image, or None for a set without labels."""
        return None
