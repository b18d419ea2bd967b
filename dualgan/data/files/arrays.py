"""Images that lie in one array."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.base import Entry, Files, Labels, PixelArray


@dataclass(frozen=True)
class Loaded:
    """Names [N], pixels uint8 [N, H, W, C] or [N, H, W] and, where there are any, classes [N] and their names."""

    names: list[str]
    pixels: NDArray[np.uint8]
    labels: list[int] | None
    class_names: tuple[str, ...] = ()


class ArrayFiles(Files):
    """Images of an array, which every process loads for itself, from the disk.

    Args:
        root: The file or folder that the array comes from.
    """

    @abstractmethod
    def load(self) -> Loaded:
        """Load all images, in the order of their names."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_loaded", "_positions")}

    @cached_property
    def _loaded(self) -> Loaded:
        return self.load()

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self._loaded.names)}

    def entries(self) -> Sequence[Entry]:
        """List the images, sorted by name."""
        stamp = self.stamp()
        return [Entry(name, stamp) for name in self._loaded.names]

    def read(self, name: str) -> PixelArray:
        """Fetch one image."""
        return PixelArray(self._loaded.pixels[self._positions[name]])

    def labels(self, names: Sequence[str]) -> Labels | None:
        """Return the classes of the named images, or None for a set that says nothing about them."""
        labels = self._loaded.labels
        if labels is None:
            return None
        classes = np.array([labels[self._positions[name]] for name in names], np.int64)
        return Labels(classes, self._loaded.class_names)
