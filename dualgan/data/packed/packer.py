"""What a packing process does: decode, crop and resize the images of one shard, and write it."""

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.base import Entry, Files
from dualgan.data.files.checking import Checked, check_image, reason
from dualgan.data.files.decoding import Preparation
from dualgan.data.packed.manifest import Shard
from dualgan.files.atomic import digest, file_sha256, read_json, replacing, write_json


@dataclass
class Settings(Preparation):
    """How images become pixels, and how many of them share a shard."""

    images_per_shard: int


Part = tuple[Shard | None, list[Checked]]
"""What became of one shard's share of the source: its file (None without any good image), and every image."""


class Packer:
    """Packs shard after shard.

    Args:
        files: The source.
        shards: Folder for the shards; one appears there when it is whole.
        notes: Folder for a note about every finished shard; a shard without its note is made again.
        settings: How to pack.
        retry: Make shards with bad images again even if they are finished, because files may have been repaired.
    """

    def __init__(self, files: Files, shards: Path, notes: Path, settings: Settings, retry: bool) -> None:
        self.files, self.shards, self.notes, self.settings, self.retry = files, shards, notes, settings, retry

    def pack(self, number: int, entries: Sequence[Entry]) -> Part:
        """Return shard `number` of these source images, as an earlier run left it or made now.

        Raises:
            OSError: The shard cannot be written.
        """
        note = self.notes / f"{number:05d}.json"
        key = digest([asdict(self.settings), [[entry.name, entry.stamp] for entry in entries]])
        if finished := self._finished(note, key):
            return finished
        shard, images = self._make(f"shard-{number:05d}.npy", entries)
        about = {"shard": asdict(shard) if shard else None, "images": [asdict(image) for image in images]}
        write_json(note, {"key": key, **about})
        return shard, images

    def _finished(self, note: Path, key: str) -> Part | None:
        content = read_json(note)
        if not isinstance(content, dict) or content.get("key") != key:
            return None
        shard = Shard(**content["shard"]) if content["shard"] else None
        images = [Checked(**image) for image in content["images"]]
        if self.retry and any(image.error for image in images):
            return None
        if shard and not ((path := self.shards / shard.name).is_file() and file_sha256(path) == shard.sha256):
            return None
        return shard, images

    def _make(self, name: str, entries: Sequence[Entry]) -> Part:
        side = self.settings.resolution
        pixels = np.empty((len(entries), side, side, self.settings.num_channels), np.uint8)
        images: list[Checked] = []
        count = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks about odd files that it can read
            for entry in entries:
                images.append(self._read(entry, pixels[count]))
                count += not images[-1].error
        if not count:
            return None, images
        sha256, size = write_array(self.shards / name, pixels[:count])
        return Shard(name, size, sha256, count), images

    def _read(self, entry: Entry, pixels: NDArray[np.uint8]) -> Checked:
        """Decode one file once: its pixels go to `pixels` [H, W, C], what is wrong with it into the result."""
        checked, _, image = check_image(self.files, entry.name, self.settings.value_range)
        if image is None:
            return checked
        try:
            pixels[:] = self.settings.apply(image)
        except Exception as error:  # the crop may not fit
            return Checked(entry.name, error=reason(error))
        return checked


def write_array(path: Path, array: NDArray[np.uint8] | NDArray[np.int64]) -> tuple[str, int]:
    """Write a .npy file atomically; return its SHA-256 and size."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    content = np.ascontiguousarray(array).data.cast("B")
    sha256 = hashlib.sha256(header.getbuffer())
    sha256.update(content)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(header.getbuffer())
        file.write(content)
        size = file.tell()
    return sha256.hexdigest(), size
