"""Arrays of pixels as image files, for sets that come as arrays."""

import io
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualgan.data.files.image_files import Entry


@dataclass(frozen=True)
class RawImages:
    """Names [N], pixels uint8 [N, H, W, C] or [N, H, W] and, where there are any, classes [N]."""

    names: list[str]
    pixels: NDArray[np.uint8]
    labels: list[int] | None


class RawFiles:
    """Images of an array, which every process loads for itself, as BMP files.

    Args:
        root: The file or folder that the array comes from.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._images: RawImages | None = None
        self._positions: dict[str, int] = {}

    @abstractmethod
    def load(self) -> RawImages:
        """Load all images, in the order of their names."""

    @abstractmethod
    def stamp(self) -> str:
        """Text that changes with the content."""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_images": None, "_positions": {}}

    def _loaded(self) -> RawImages:
        if self._images is None:
            self._images = self.load()
            self._positions = {name: position for position, name in enumerate(self._images.names)}
        return self._images

    def entries(self) -> Sequence[Entry]:
        """List the images, sorted by name."""
        stamp = self.stamp()
        return [Entry(name, stamp) for name in self._loaded().names]

    def read(self, name: str) -> bytes:
        """Return the content of one image as a BMP file."""
        pixels = self._loaded().pixels[self._positions[name]]
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "BMP")
        return file.getvalue()

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Return the class of every named image, or None for a set without labels."""
        labels = self._loaded().labels
        return None if labels is None else [labels[self._positions[name]] for name in names]
