"""A packed set as `Files`: for `dualgan inspect`, which looks at any set in the same way."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualgan.data.files.base import Entry, Files, PixelArray
from dualgan.data.packed.images import PackedImages


class PackedFiles(Files):
    """The images of a packed set, in its order."""

    decoded_first = False

    def __init__(self, root: Path, images: PackedImages) -> None:
        super().__init__(root)
        self.images = images
        self.prepared = {"resize_filter": images.resize_filter, "crop": images.crop}
        self._index = {name: index for index, name in enumerate(images.names)}

    def entries(self) -> list[Entry]:
        """List the images in the order of the set."""
        return [Entry(name, "") for name in self.images.names]

    def read(self, name: str) -> PixelArray:
        """Fetch one image."""
        pixels = self.images.read(np.array([self._index[name]]))[0]
        return PixelArray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, "packed")

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Return the class of every named image, or None for a set without labels."""
        labels = self.images.labels
        return None if labels is None else [int(labels[self._index[name]]) for name in names]
