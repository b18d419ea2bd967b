"""Any `Files` as an `ImageSource`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.base import Files
from dualgan.data.files.decoding import Preparation


class BadImageError(ValueError):
    """An image could not be read in the middle of training.

    A loader's worker process sends its traceback along; the paragraph in it is all that is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{__name__}.BadImageError: ")[2].strip())


@dataclass(eq=False)
class DecodedImages(Preparation):
    """An `ImageSource` of files, which are decoded, cropped and resized whenever they are read."""

    files: Files
    names: Sequence[str]
    fingerprint: str
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images [N, H, W, C] of some indices [N].

        Raises:
            BadImageError: One of them is damaged; the message names it.
        """
        return np.stack([self._read_one(self.names[index]) for index in indices])

    def _read_one(self, name: str) -> NDArray[np.uint8]:
        try:
            return self.apply(self.files.read(name).decode(self.value_range).image)
        except Exception as error:  # decoders raise many kinds for broken files
            reason = f"{type(error).__name__}: {error}".replace("\n", " ")
            raise BadImageError(
                f"'{self.files.root}': image '{name}' cannot be read ({reason}). Get the set again or remove the "
                f"image; 'dualgan prepare' finds all such images at once."
            ) from error
