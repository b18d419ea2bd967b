"""ImageFolder: any folder or zip of images."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dualgan.data.base import ImageDataModule, ImageSource, default_workers
from dualgan.data.cache import cache_root, digest
from dualgan.data.decoding import ResizeFilter, decode, to_square
from dualgan.data.image_files import Checked, Files, check_files, open_files

_NAMED = 10  # bad images that an error names


class ImageFolder(ImageDataModule):
    """Images of a folder (with all folders below it) or of a zip, in the order of their names.

    PNG, JPEG, WebP, BMP, GIF (first frame) and TIFF. Each is rotated as its EXIF data says, composited on white where
    it is transparent, cropped to its centre square and resized. The first `prepare_data` decodes every image once.

    Args:
        root: Folder or zip of images.
        resolution: Height and width of the images, a power of two from 8 to 1024.
        resize_filter: Pillow's filter for resizing. It changes metrics: compare numbers of one filter only.
        num_channels: 3 reads all images as colour, 1 as gray; found out from the files by default.
        skip_bad_images: Go on without images that cannot be decoded.
        batch_size: Images per training step over all devices together.
        num_workers: Processes that load batches; one per CPU and at most 4 by default.
        mirror: Also train on every image flipped left to right.
        subset: Use only this many images, drawn at random; all by default.
        subset_seed: Seed of the draw of the subset.
        seed: Seed of the order of training images.
        num_val: Number of images, the first ones, in the validation and test loaders.
        cache_dir: Folder for the report of the check; $DUALGAN_CACHE or ~/.cache/dualgan by default.
        hint: What to download and where to put it; shown when `root` does not exist.

    Raises:
        ValueError: For arguments that cannot work; from `prepare_data` and `setup` also for a missing root, a root
            without images, images that cannot be decoded, and gray and colour images together.
    """

    def __init__(
        self,
        root: str,
        resolution: int = 256,
        resize_filter: ResizeFilter = "lanczos",
        num_channels: Literal[1, 3] | None = None,
        skip_bad_images: bool = False,
        batch_size: int = 32,
        num_workers: int | None = None,
        mirror: bool = False,
        subset: int | None = None,
        subset_seed: int = 0,
        seed: int = 0,
        num_val: int = 512,
        cache_dir: str | None = None,
        hint: str = "",
    ) -> None:
        workers = default_workers() if num_workers is None else num_workers
        super().__init__(resolution, batch_size, workers, mirror, subset, subset_seed, seed, num_val)
        if resize_filter not in ("box", "lanczos"):
            raise ValueError(f"resize_filter '{resize_filter}' is unknown: expected 'box' or 'lanczos'.")
        if num_channels not in (None, 1, 3):
            raise ValueError(f"num_channels {num_channels} is impossible: expected 1 (gray), 3 (colour) or nothing.")
        self.root = Path(root).expanduser()
        self.resize_filter: ResizeFilter = resize_filter
        self.skip_bad_images = skip_bad_images
        self.cache = cache_root(cache_dir)
        self.hint = hint
        self._wanted_channels = num_channels

    def _prepare(self) -> None:
        _, report = self._checked()
        good, bad = _split(report)
        if bad and self.skip_bad_images:
            warnings.warn(f"'{self.root}': going on without {_name_bad(bad)}", stacklevel=2)
        small = sum(min(checked.width, checked.height) < self.resolution for checked in good)
        if small:
            warnings.warn(
                f"'{self.root}': {small} of {len(good)} images are smaller than resolution {self.resolution} and are "
                f"enlarged; a smaller resolution would keep them sharp.",
                stacklevel=2,
            )

    def _open(self) -> ImageSource:
        files, report = self._checked()
        good, _ = _split(report)
        channels = self._wanted_channels or good[0].channels
        content = [checked.sha256 for checked in good]
        how = [self.resolution, self.resize_filter, "center", channels]
        names = [checked.name for checked in good]
        return _DecodedImages(files, names, self.resolution, channels, self.resize_filter, digest([how, content]))

    def _checked(self) -> tuple[Files, list[Checked]]:
        files = open_files(self.root, self.hint)
        entries = files.entries()
        if not entries:
            raise ValueError(
                f"'{self.root}' holds no images: expected files that end in .png, .jpg, .jpeg, .webp, .bmp, .gif or "
                f".tif there or in folders below. Pass the folder or zip that holds the images. {self.hint}".rstrip()
            )
        report = check_files(files, entries, self.cache)
        good, bad = _split(report)
        if bad and not (self.skip_bad_images and good):
            raise ValueError(
                f"'{self.root}' holds {_name_bad(bad)} Repair or remove them, or pass skip_bad_images=true to go on "
                f"without them."
                if good
                else f"'{self.root}': no image can be decoded: {_name_bad(bad)} Pass a folder or zip of whole images."
            )
        self._check_channels(good)
        return files, report

    def _check_channels(self, good: Sequence[Checked]) -> None:
        gray = [checked.name for checked in good if checked.channels == 1]
        color = [checked.name for checked in good if checked.channels == 3]
        if gray and color and self._wanted_channels is None:
            raise ValueError(
                f"'{self.root}' mixes {len(gray)} gray images (such as '{gray[0]}') and {len(color)} colour images "
                f"(such as '{color[0]}'). Pass num_channels=3 to read all of them as colour, or num_channels=1 as gray."
            )


class _DecodedImages:
    """Images that are decoded, cropped and resized whenever they are read."""

    def __init__(
        self,
        files: Files,
        names: list[str],
        resolution: int,
        num_channels: int,
        resize_filter: ResizeFilter,
        fingerprint: str,
    ) -> None:
        self.files = files
        self.names = names
        self.resolution = resolution
        self.num_channels = num_channels
        self.resize_filter = resize_filter
        self.fingerprint = fingerprint
        self.labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([self._read_one(self.names[index]) for index in indices])

    def _read_one(self, name: str) -> NDArray[np.uint8]:
        return to_square(decode(self.files.read(name)), self.resolution, self.num_channels, self.resize_filter)


def _split(report: Sequence[Checked]) -> tuple[list[Checked], list[Checked]]:
    return [checked for checked in report if not checked.error], [checked for checked in report if checked.error]


def _name_bad(bad: Sequence[Checked]) -> str:
    named = "; ".join(f"'{checked.name}' ({checked.error})" for checked in bad[:_NAMED])
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return f"{len(bad)} image{'s' if len(bad) > 1 else ''} that cannot be decoded: {named}{more}."
