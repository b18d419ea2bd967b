"""Random access to the images of a packed set."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.base import Labels
from dualgan.data.files.labels import numbered
from dualgan.data.packed.location import Folder, is_url, locate
from dualgan.data.packed.manifest import FORMAT, MANIFEST, Manifest, PackedFile, Shard, parse
from dualgan.files.atomic import read_json
from dualgan.runtime.progress import Progress

_HEADER = 2**12  # bytes: more than that of any .npy file
_OPEN_AT_ONCE = 128  # files; processes are often allowed 1,024


def is_packed(root: str | Path) -> bool:
    """Tell whether `root` is a packed set: a folder with a manifest, or a URL."""
    if is_url(root):
        return True
    path = Path(root).expanduser() / MANIFEST
    if not path.is_file():
        return False
    content = read_json(path)
    return content is None or (isinstance(content, dict) and content.get("format") == FORMAT)


def open_packed(root: str | Path, cache_dir: Path | None = None) -> "PackedImages":
    """Open a packed set; checks the manifest and the sizes of all files of a folder.

    Args:
        root: Folder, or URL (http://, https://, s3://, ...) as text.
        cache_dir: Folder for the files of a URL; $DUALGAN_CACHE or ~/.cache/dualgan by default.

    Raises:
        ValueError: There is no packed set, it has another format version, or a file is missing or truncated.
    """
    location = locate(root, cache_dir)
    manifest = parse(location.manifest(), location.root)
    location.check(manifest.files)
    return PackedImages(location, manifest)


def verify(root: str | Path, cache_dir: Path | None = None) -> Manifest:
    """Compare all files of a set with the SHA-256 in its manifest; a URL is downloaded into the cache for that.

    Raises:
        ValueError: What `open_packed` finds, or files with other content, all of them named.
    """
    images = open_packed(root, cache_dir)
    files = list(images.manifest.files)
    location = images.location
    damaged = []
    with Progress("Verifying", sum(file.bytes for file in files), "bytes", unit_scale=True) as bar:
        for file in files:
            location.fetch([file])
            if not location.is_whole(file):
                damaged.append(file.name)
            bar.update(file.bytes)
    if damaged:
        raise ValueError(
            f"{len(damaged)} of {len(files)} files of the packed set '{root}' do not have the manifest's SHA-256: "
            f"{', '.join(damaged)}. Copy them again, or make the set again."
        )
    return images.manifest


class PackedImages:
    """Images of a packed set, an `ImageSource`. It holds no open files: processes may share or pickle it."""

    def __init__(self, location: Folder, manifest: Manifest) -> None:
        self.location = location
        self.manifest = manifest
        self.resolution = manifest.resolution
        self.resize_filter = manifest.resize_filter
        self.crop = manifest.crop
        self.num_channels = manifest.num_channels
        self.fingerprint = manifest.fingerprint
        self._labels = self._load_labels(manifest.labels) if manifest.labels else None
        self._ends = np.cumsum([shard.count for shard in manifest.shards], dtype=np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "names"}

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def stated_labels(self) -> Labels | None:
        """The classes, as the set has them with names; None without."""
        return self._labels

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class of every image [N], or None for a set without labels."""
        return None if self._labels is None else self._labels.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their numbers; empty without labels."""
        return () if self._labels is None else self._labels.names

    def relabel(self, labels: Labels | None) -> None:
        """Have other labels, or none, from now on."""
        self._labels = labels

    @cached_property
    def names(self) -> list[str]:
        """Names of the source images, read when first asked for."""
        file = self.manifest.names
        try:
            with self.location.open(file) as content:
                names: list[str] = json.loads(content.read())
        except (ValueError, RecursionError) as error:
            raise self._damaged(file, f"is no JSON ({error})") from error
        if not isinstance(names, list) or len(names) != len(self) or not all(type(name) is str for name in names):
            raise self._damaged(file, f"holds something else than {len(self)} names")
        return names

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images [N, H, W, C] of some indices [N], in that order, as an array of its own.

        Raises:
            IndexError: An index is out of range.
            ValueError: A shard is missing or truncated, or cannot be fetched.
        """
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"packed set of {len(self)} images has no image {indices.min()} or {indices.max()}")
        images = np.empty((len(indices), self.resolution, self.resolution, self.num_channels), np.uint8)
        rows = images.reshape(len(indices), self.manifest.image_bytes)
        parts = list(self._by_shard(indices))
        self.location.fetch([shard for shard, _, _ in parts])
        for first in range(0, len(parts), _OPEN_AT_ONCE):
            with ExitStack() as stack:
                some = [
                    (stack.enter_context(self.location.open(part[0])), *part) for part in parts[first:][:_OPEN_AT_ONCE]
                ]
                for file, _, _, offsets in some:
                    _announce(file, offsets, self.manifest.image_bytes)
                for file, shard, places, offsets in some:
                    for place, offset in zip(places.tolist(), offsets.tolist(), strict=True):
                        self._read_into(rows[place], file, offset, shard)
        return images

    def _by_shard(self, indices: NDArray[np.int64]) -> Iterator[tuple[Shard, NDArray[np.int64], NDArray[np.int64]]]:
        """Shards that are needed, with places in the batch and byte offsets in the file, in the order of the file."""
        order = np.argsort(indices, kind="stable")
        numbers = np.searchsorted(self._ends, indices[order], side="right")
        for number in np.unique(numbers).tolist():
            places = order[numbers == number]
            shard = self.manifest.shards[number]
            size = self.manifest.image_bytes
            # The images are the end of a .npy file; before them is its header.
            start = shard.bytes - shard.count * size
            yield shard, places, start + (indices[places] - (self._ends[number] - shard.count)) * size

    def _read_into(self, row: NDArray[np.uint8], file: Any, offset: int, shard: Shard) -> None:
        file.seek(offset)
        view = row.data
        while view:
            count = file.readinto(view)
            if not count:
                raise ValueError(
                    f"'{shard.name}' of the packed set '{self.location.root}' ends too early: it has been truncated. "
                    f"Copy or make the set again."
                )
            view = view[count:]

    def _load_labels(self, file: PackedFile) -> Labels:
        if file.bytes > 8 * len(self) + _HEADER:
            raise self._damaged(file, f"has {file.bytes:,} bytes: expected int64 [{len(self)}]")
        try:
            with self.location.open(file) as content:
                whole = io.BytesIO(content.read())  # a header that claims more than there is finds no more memory
            labels: NDArray[np.int64] = np.load(whole, allow_pickle=False)
        except (ValueError, EOFError, MemoryError) as error:
            raise self._damaged(file, f"is no array ({' '.join(str(error).split())})") from error
        if labels.shape != (len(self),) or labels.dtype != np.int64:
            raise self._damaged(file, f"has {labels.dtype} {list(labels.shape)}: expected int64 [{len(self)}]")
        names = self.manifest.class_names
        if labels.min() < 0 or (names and labels.max() >= len(names)):
            raise self._damaged(file, f"has classes outside of 0 to {len(names) - 1 if names else 2**63 - 1}")
        return Labels(labels, names) if names else numbered(self.location.root, labels)

    def _damaged(self, file: PackedFile, problem: str) -> ValueError:
        return ValueError(
            f"'{file.name}' of the packed set '{self.location.root}' {problem}. Copy or make the set again."
        )


def _announce(file: BinaryIO, offsets: NDArray[np.int64], size: int) -> None:
    """Let the kernel read everything at once that is not in memory yet: cold reads get two to three times faster."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # only a hint, which some file systems do not take
            for offset in offsets.tolist():
                os.posix_fadvise(file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)
