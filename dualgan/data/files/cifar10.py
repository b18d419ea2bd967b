"""CIFAR-10's archives: plain records, or pickles of Python 2, of which nothing is run."""

import lzma
import pickletools
import tarfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.arrays import ArrayFiles, Loaded

Split = Literal["train", "test"]

FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_PARTS: dict[Split, list[str]] = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_MAX_BYTES = 2**26  # of one batch: twice what the published ones have
_MAX_MEMBERS = 100
_MAX_OPERATIONS = 10**6  # of a pickle: the published ones have three for each of their 10,000 images
_PIXELS = 3 * 32 * 32  # of one image: all red values, then green, then blue, row by row


def find_cifar10(root: Path) -> Path | None:
    """The archive or the folder of batches that `root` is or holds; None if there is none."""
    if root.is_file():
        return root if ".tar" in root.suffixes or root.suffix == ".tgz" else None
    if any(root.glob("data_batch_*")) or any(root.glob("test_batch*")):
        return root
    return next((root / name for name in (*FOLDERS, *ARCHIVES) if (root / name).exists()), None)


class CIFAR10Files(ArrayFiles):
    """Images of one split of CIFAR-10, as data_batch_1/00000 and so on.

    Args:
        root: An official archive or the folder that it unpacks to.
        split: "train" or "test".
    """

    def __init__(self, root: Path, split: Split) -> None:
        super().__init__(root)
        self.split: Split = split

    def stamp(self) -> str:
        """Sizes and times of the files."""
        paths = [self.root] if self.root.is_file() else sorted(p for p in self.root.iterdir() if "_batch" in p.name)
        return ",".join(f"{p.stat().st_size}-{p.stat().st_mtime_ns}" for p in paths)

    def load(self) -> Loaded:
        """Load the images of the split.

        Raises:
            ValueError: For missing or damaged files, and pickles without pixels and classes.
        """
        parts = dict(self._parts())
        missing = [part for part in _PARTS[self.split] if part not in parts]
        if missing:
            raise self._damaged(missing[0], "it is missing")
        labels: list[int] = []
        pixels, names = [], []
        for part in _PARTS[self.split]:
            images, classes = parts[part]
            pixels.append(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            names += [f"{part}/{number:05}" for number in range(len(images))]
            labels += classes
        return Loaded(names, np.concatenate(pixels), labels, CLASSES)

    def _parts(self) -> Iterator[tuple[str, tuple[NDArray[np.uint8], list[int]]]]:
        for file_name, content in self._contents():
            part, _, ending = file_name.partition(".")
            try:
                yield part, (_records(content) if ending else _pickled(content))
            except ValueError as error:
                raise self._damaged(file_name, str(error)) from error

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        if self.root.is_dir():
            for path in sorted(self.root.iterdir()):
                if path.is_file() and self._is_wanted(path.name, path.stat().st_size):
                    yield path.name, path.read_bytes()
            return
        try:
            with tarfile.open(self.root) as archive:
                for number, member in enumerate(archive):
                    # Skipping a member inflates it: both numbers bound how long that may take.
                    if number >= _MAX_MEMBERS or member.size > _MAX_BYTES:
                        raise self._damaged(
                            member.name, f"{member.size:,} bytes as member {number + 1:,} of the archive"
                        )
                    # Links and devices are no files; names lead nowhere, because nothing is unpacked.
                    if member.isreg() and self._is_wanted(name := Path(member.name).name, member.size):
                        file = archive.extractfile(member)
                        assert file is not None
                        yield name, file.read()
        except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise self._damaged(self.root.name, str(error)) from error

    def _is_wanted(self, name: str, size: int) -> bool:
        part, _, ending = name.partition(".")
        if part not in _PARTS[self.split] or ending not in ("", "bin"):
            return False
        if size > _MAX_BYTES:
            raise self._damaged(name, f"{size:,} bytes are more than a batch has")
        return True

    def _damaged(self, name: str, reason: str) -> ValueError:
        return ValueError(
            f"'{self.root}': cannot read '{name}' of CIFAR-10 ({reason}). Download the archive again from "
            f"https://www.cs.toronto.edu/~kriz/cifar.html."
        )


def _records(content: bytes) -> tuple[NDArray[np.uint8], list[int]]:
    if not content or len(content) % (1 + _PIXELS):
        raise ValueError(f"{len(content):,} bytes are no whole records of {1 + _PIXELS}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return rows[:, 1:], _classes(rows[:, 0].tolist())


def _pickled(content: bytes) -> tuple[NDArray[np.uint8], list[int]]:
    """Pick pixels and classes out of a pickle's listing, which runs nothing: a pickle may name any function."""
    key, pixels, labels = "", b"", list[int]()
    for operation, value, _ in islice(pickletools.genops(content), _MAX_OPERATIONS):
        if isinstance(value, str | bytes) and len(value) >= _PIXELS:
            pixels = value if isinstance(value, bytes) else value.encode("latin1")
        elif isinstance(value, str):
            key = value
        elif key == "labels" and operation.name.startswith("BININT") and isinstance(value, int):
            labels.append(value)
    if not labels or len(pixels) != len(labels) * _PIXELS:
        raise ValueError(f"it holds no 'data' of N x {_PIXELS} bytes with N 'labels'")
    return np.frombuffer(pixels, np.uint8).reshape(-1, _PIXELS), _classes(labels)


def _classes(labels: list[int]) -> list[int]:
    for label in labels:
        if not 0 <= label < len(CLASSES):
            raise ValueError(f"it holds the label {label}: expected 0 to {len(CLASSES) - 1}")
    return labels
