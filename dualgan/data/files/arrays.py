"""Images that lie in one array."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.base import Entry, Files, PixelArray


@dataclass(frozen=True)
class Loaded:
    """Names [N], pixels uint8 [N, H, W, C] or [N, H, W] and, where there are any, classes [N]."""

    names: list[str]
    pixels: NDArray[np.uint8]
    labels: list[int] | None


class ArrayFiles(Files):
    """Images of an array, which every process loads for itself, from the disk.

    Args:
        root: The file or folder that the array comes from.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._images: Loaded | None = None
        self._positions: dict[str, int] = {}

    @abstractmethod
    def load(self) -> Loaded:
        """Load all images, in the order of their names."""

    @abstractmethod
    def stamp(self) -> str:
        """Text that changes with the content."""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_images": None, "_positions": {}}

    def _loaded(self) -> Loaded:
        if self._images is None:
            self._images = self.load()
            self._positions = {name: position for position, name in enumerate(self._images.names)}
        return self._images

    def entries(self) -> Sequence[Entry]:
        """List the images, sorted by name."""
        stamp = self.stamp()
        return [Entry(name, stamp) for name in self._loaded().names]

    def read(self, name: str) -> PixelArray:
        """Fetch one image."""
        return PixelArray(self._loaded().pixels[self._positions[name]])

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Return the class of every named image, or None for a set without labels."""
        labels = self._loaded().labels
        return None if labels is None else [labels[self._positions[name]] for name in names]
