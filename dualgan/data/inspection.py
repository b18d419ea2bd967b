"""What is in a set of image files: formats, sizes, colours, classes, duplicates, all from one pass over the files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dualgan.data.decoding import header
from dualgan.data.duplicates import equal_groups, near_groups
from dualgan.data.image_files import Checked, Entry, Files, check_image, in_parallel, reason


@dataclass(frozen=True)
class Examined:
    """One image file.

    Attributes:
        checked: Its size, its SHA-256, or why it cannot be decoded.
        format: Pillow's name of the format, empty where it cannot be decoded.
        mode: Pillow's name of the colour mode in the file.
        num_bytes: Size of the file.
        pixels: Hash of the decoded pixels.
        perceptual: 64-bit hash of the coarse luminance (pHash).
    """

    checked: Checked
    format: str = ""
    mode: str = ""
    num_bytes: int = 0
    pixels: str = ""
    perceptual: int = 0


@dataclass
class Inspection:
    """All files of a set, in the order of their names.

    Attributes:
        files: The set.
        good: Images.
        bad: Files that cannot be decoded.
        levels: How many pixels have each 8-bit value, per channel: int64 [C, 256].
    """

    files: Files
    good: list[Examined] = field(default_factory=list)
    bad: list[Checked] = field(default_factory=list)
    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 256), np.int64))

    @property
    def names(self) -> list[str]:
        """Names of the images."""
        return [image.checked.name for image in self.good]

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of every channel over all pixels of all images, of values in [0, 1]."""
        moments = [_moments(channel) for channel in self.levels.tolist()]
        return [mean for mean, _ in moments], [std for _, std in moments]

    def same_files(self) -> list[list[int]]:
        """Groups of images whose files are the same byte for byte."""
        return equal_groups([image.checked.sha256 for image in self.good])

    def same_pixels(self) -> list[list[int]]:
        """Groups of images that decode to the same pixels, those of `same_files` included."""
        return equal_groups([image.pixels for image in self.good])

    def near(self, distance: int) -> list[list[int]]:
        """Groups of images with other pixels, linked by perceptual hashes that differ in at most `distance` bits."""
        first = {image.pixels: index for index, image in reversed(list(enumerate(self.good)))}
        distinct = sorted(first.values())
        hashes = np.array([self.good[index].perceptual for index in distinct], np.uint64)
        return [[distinct[member] for member in group] for group in near_groups(hashes, distance)]

    def classes(self) -> dict[int, int] | None:
        """Number of images of every class, or None for a set without labels."""
        labels = self.files.labels(self.names)
        return None if labels is None else dict(sorted(Counter(labels).items()))


def inspect_files(files: Files, entries: Sequence[Entry], num_channels: int | None = None) -> Inspection:
    """Decode every image once, in parallel and with a progress bar.

    Args:
        files: The set.
        entries: Its images.
        num_channels: 1 or 3 converts all images before their levels are counted; by default gray and colour images
            keep their mode, and in a set with both, gray ones count as colour.
    """
    inspection = Inspection(files)
    levels = {1: np.zeros((1, 256), np.int64), 3: np.zeros((3, 256), np.int64)}
    work = in_parallel(lambda entry: _examine(files, entry, num_channels), entries, f"Inspecting {files.root.name}")
    for examined, counts in work:
        if examined.checked.error:
            inspection.bad.append(examined.checked)
        else:
            inspection.good.append(examined)
            levels[len(counts)] += counts
    inspection.levels = levels[3] + levels[1] if levels[3].any() else levels[1]
    return inspection


def _examine(files: Files, entry: Entry, num_channels: int | None) -> tuple[Examined, NDArray[np.int64]]:
    nothing = np.zeros((0, 256), np.int64)
    try:
        content = files.read(entry.name)
    except Exception as error:  # as in the check before a training
        return Examined(Checked(entry.name, error=reason(error))), nothing
    checked, image = check_image(entry.name, content)
    if image is None:
        return Examined(checked), nothing
    counted = image.convert("L" if num_channels == 1 else "RGB") if num_channels else image
    levels = np.array(counted.histogram(), np.int64).reshape(-1, 256)
    return Examined(checked, *header(content), len(content), _pixel_hash(image), _perceptual_hash(image)), levels


def _pixel_hash(image: Image.Image) -> str:
    shape = f"{image.mode} {image.width}x{image.height} ".encode()
    return blake2b(shape + image.tobytes(), digest_size=16).hexdigest()


def _perceptual_hash(image: Image.Image) -> int:
    bits = np.packbits(imagehash.phash(image).hash)
    return int.from_bytes(bits.tobytes())


def _moments(levels: Sequence[int]) -> tuple[float, float]:
    """Mean and standard deviation of 8-bit values as parts of 255; the sums are whole numbers and exact."""
    count = sum(levels)
    total = sum(value * number for value, number in enumerate(levels))
    squares = sum(value * value * number for value, number in enumerate(levels))
    return total / count / 255, (count * squares - total * total) ** 0.5 / count / 255


def tally(values: Sequence[Any]) -> dict[Any, int]:
    """How often each value occurs, the most frequent first."""
    return dict(Counter(values).most_common())
