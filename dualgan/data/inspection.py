"""What is in a set of image files: formats, sizes, colours, classes, duplicates, all from one pass over the files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualgan.data.duplicates import Thumbnails, distances, equal_groups, near_groups, thumbnail
from dualgan.data.files.base import Entry, Files, Labels, PixelArray
from dualgan.data.files.checking import Checked, check_image, in_parallel, report_path, store_report
from dualgan.data.files.frames import AllFrames
from dualgan.data.files.labels import labels_or_folders
from dualgan.data.files.opening import open_files
from dualgan.data.files.values import ValueRange
from dualgan.data.packed import PackedImages, is_packed, open_packed


class PackedFiles(Files):
    """The images of a packed set, in its order: `dualgan inspect` looks at any set in the same way."""

    decoded_first = False

    def __init__(self, root: Path, images: PackedImages) -> None:
        super().__init__(root)
        self.images = images
        self.prepared = {"resize_filter": images.resize_filter, "crop": images.crop}
        self.prepared |= {"value_range": images.manifest.value_range}
        self._index = {name: index for index, name in enumerate(images.names)}

    def entries(self) -> list[Entry]:
        """List the images in the order of the set."""
        return [Entry(name, "") for name in self.images.names]

    def read(self, name: str) -> PixelArray:
        """Fetch one image."""
        pixels = self.images.read(np.array([self._index[name]]))[0]
        return PixelArray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, "packed")

    def labels(self, names: Sequence[str]) -> Labels | None:
        """Return the classes of the named images, or None for a set that says nothing about them."""
        stated = self.images.stated_labels
        positions = [self._index[name] for name in names]
        return None if stated is None else Labels(stated.classes[positions], stated.names)


def find_files(data: str, cache: Path, all_frames: bool = False) -> Files:
    """Return the images of a folder, zip, LMDB or packed set (also behind a URL), or all their frames.

    Raises:
        ValueError: There are none.
    """
    if is_packed(data):
        return PackedFiles(Path(data), open_packed(data, cache))
    files = open_files(Path(data).expanduser(), "", cache)
    return AllFrames(files, cache) if all_frames and files.decoded_first else files


@dataclass(frozen=True)
class Examined:
    """One image file.

    Attributes:
        checked: Its size, its SHA-256, or why it cannot be decoded.
        format: Pillow's name of the format, empty where it cannot be decoded.
        mode: Pillow's name of the colour mode in the file.
        num_bytes: Size of the file.
        pixels: Hash of the decoded pixels.
        colors: Mean colours of its parts, see `thumbnail`.
    """

    checked: Checked
    format: str = ""
    mode: str = ""
    num_bytes: int = 0
    pixels: str = ""
    colors: Thumbnails | None = None


@dataclass
class Inspection:
    """All files of a set, in the order of their names.

    Attributes:
        files: The set.
        good: Images.
        bad: Files that cannot be decoded.
        value_range: Values of the files that became black and white; None is the full range of their type.
        levels: How many pixels have each 8-bit value, per channel: int64 [C, 256].
    """

    files: Files
    good: list[Examined] = field(default_factory=list)
    bad: list[Checked] = field(default_factory=list)
    value_range: ValueRange | None = None
    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 256), np.int64))

    @property
    def names(self) -> list[str]:
        """Names of the images."""
        return [image.checked.name for image in self.good]

    @property
    def checked(self) -> list[Checked]:
        """What decoding showed, of images and of files that cannot be decoded."""
        return [*(image.checked for image in self.good), *self.bad]

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of every channel over all pixels of all images, of values in [0, 1]."""
        moments = [_moments(channel) for channel in self.levels.tolist()]
        return [mean for mean, _ in moments], [std for _, std in moments]

    def duplicates(self, distance: float) -> dict[str, list[list[int]]]:
        """Indices of duplicates in groups of two and more.

        Returns:
            "same_files": equal byte for byte. "same_pixels": decoded to equal pixels; has all of the former. "near":
            other pixels, and at most `distance` away from the first of the group, see `distances`; of images with
            equal pixels the first one stands for all.
        """
        same_pixels = equal_groups([image.pixels for image in self.good])
        repeated = {index for group in same_pixels for index in group[1:]}
        distinct = [index for index in range(len(self.good)) if index not in repeated]
        near: list[list[int]] = []
        if distinct:
            groups = near_groups(self._colors(distinct), distance)
            near = [[distinct[member] for member in group] for group in groups]
        same_files = equal_groups([image.checked.sha256 for image in self.good])
        return {"same_files": same_files, "same_pixels": same_pixels, "near": near}

    def distances(self, group: Sequence[int]) -> list[float]:
        """How far the further images of a group are from its first."""
        return [float(far) for far in distances(self._colors(group[:1])[0], self._colors(group[1:]))]

    def _colors(self, indices: Sequence[int]) -> Thumbnails:
        return np.stack([colors for index in indices if (colors := self.good[index].colors) is not None])

    def labels(self) -> Labels | None:
        """Classes of the images, as the set states or its folders suggest them; None where neither does."""
        return labels_or_folders(self.files, self.names)


def inspect_files(
    files: Files,
    entries: Sequence[Entry],
    cache: Path,
    num_channels: int | None = None,
    value_range: ValueRange | None = None,
) -> Inspection:
    """Decode every image once, in parallel and with a progress bar.

    Args:
        files: The set.
        entries: Its images.
        cache: Folder for the report that `check_files` makes otherwise: a training need not decode all images again.
        num_channels: 1 or 3 converts all images before their levels are counted; by default gray and colour images
            keep their mode, and in a set with both, gray ones count as colour.
        value_range: Values of the files that become black and white.
    """
    inspection = Inspection(files, value_range=value_range)
    levels = {1: np.zeros((1, 256), np.int64), 3: np.zeros((3, 256), np.int64)}
    bar = f"Inspecting {files.root.name}"
    work = in_parallel(lambda entry: _examine(files, entry, num_channels, value_range), entries, bar)
    report = []
    for examined, counts in work:
        report.append(examined.checked)
        if examined.checked.error:
            inspection.bad.append(examined.checked)
        else:
            inspection.good.append(examined)
            levels[len(counts)] += counts
    if files.decoded_first:
        store_report(report_path(files, entries, cache, value_range), report)
    inspection.levels = levels[3] + levels[1] if levels[3].any() else levels[1]
    return inspection


def _examine(
    files: Files, entry: Entry, num_channels: int | None, value_range: ValueRange | None
) -> tuple[Examined, NDArray[np.int64]]:
    checked, stored, image = check_image(files, entry.name, value_range)
    if stored is None or image is None:
        return Examined(checked), np.zeros((0, 256), np.int64)
    counted = image.convert("L" if num_channels == 1 else "RGB") if num_channels else image
    levels = np.array(counted.histogram(), np.int64).reshape(-1, 256)
    shape = f"{image.mode} {image.width}x{image.height} ".encode()
    pixels = blake2b(shape + image.tobytes(), digest_size=16).hexdigest()
    return Examined(checked, *stored.header(), pixels, thumbnail(image)), levels


def _moments(levels: Sequence[int]) -> tuple[float, float]:
    """Mean and standard deviation of 8-bit values as parts of 255; the sums are whole numbers and exact."""
    count = sum(levels)
    total = sum(value * number for value, number in enumerate(levels))
    squares = sum(value * value * number for value, number in enumerate(levels))
    return total / count / 255, (count * squares - total * total) ** 0.5 / count / 255
