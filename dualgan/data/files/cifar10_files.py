"""CIFAR-10's archives: pickles of Python 2, which are read without running anything in them, and plain records."""

import io
import lzma
import pickle
import pickletools
import reprlib
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.raw_files import RawFiles, RawImages

Split = Literal["train", "test"]

FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
NUM_CLASSES = 10
_PARTS: dict[Split, list[str]] = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_MAX_BYTES = 2**26  # of one batch: twice what the published ones have
_MAX_MEMBERS = 100
_MAX_MEMO = 10**6
_PIXELS = 3 * 32 * 32  # of one image: all red values, then green, then blue, row by row


def find_cifar10(root: Path) -> Path | None:
    """The archive or the folder of batches that `root` is or holds; None if there is none."""
    if root.is_file():
        return root if ".tar" in root.suffixes or root.suffix == ".tgz" else None
    if any(root.glob("data_batch_*")) or any(root.glob("test_batch*")):
        return root
    return next((root / name for name in (*FOLDERS, *ARCHIVES) if (root / name).exists()), None)


class CIFAR10Files(RawFiles):
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

    def load(self) -> RawImages:
        """Load the images of the split.

        Raises:
            ValueError: For missing or damaged files, and pickles that hold anything but arrays, lists and text.
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
        return RawImages(names, np.concatenate(pixels), labels)

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
    try:
        _check_memo(content)
        batch = _SafeUnpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # pickle raises many kinds for broken files
        raise ValueError(str(error) or type(error).__name__) from error
    match batch:
        case {"data": _Array(values=np.ndarray() as data), "labels": list(labels)} if data.shape == (
            len(labels),
            _PIXELS,
        ):
            return data, _classes(labels)
    raise ValueError(f"it holds no 'data' of N x {_PIXELS} bytes with N 'labels'")


def _check_memo(content: bytes) -> None:
    """Refuse a pickle that numbers its objects absurdly: the unpickler makes room for all numbers below."""
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in ("PUT", "LONG_BINPUT") and isinstance(argument, int) and argument > _MAX_MEMO:
            raise pickle.UnpicklingError(f"its object number {argument:,} would need a table of that size")


def _classes(labels: list[Any]) -> list[int]:
    for label in labels:
        if type(label) is not int or not 0 <= label < NUM_CLASSES:
            raise ValueError(f"it holds the label {reprlib.repr(label)}: expected 0 to {NUM_CLASSES - 1}")
    return labels


class _DType:
    """Stand-in for numpy.dtype: remembers its name."""

    def __init__(self, name: str, *flags: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and flags: only bytes are admitted."""


class _Array:
    """Stand-in for numpy.ndarray: takes bytes and nothing else."""

    values: NDArray[np.uint8] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _DType) or dtype.name not in ("u1", "|u1") or fortran:
            raise pickle.UnpicklingError("an array of something else than bytes")
        raw = content.encode("latin1") if isinstance(content, str) else content
        if not isinstance(raw, bytes):
            raise pickle.UnpicklingError("an array without bytes")
        self.values = np.frombuffer(raw, np.uint8).reshape(shape)


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


class _SafeUnpickler(pickle.Unpickler):
    """Knows arrays, and neither finds nor calls anything else: a pickle may name any function of the machine."""

    _ADMITTED = {  # noqa: RUF012
        "numpy.ndarray": _Array,
        "numpy.dtype": _DType,
        "numpy.core.multiarray._reconstruct": lambda kind, *shape: _Array(),
        "numpy._core.multiarray._reconstruct": lambda kind, *shape: _Array(),
        "_codecs.encode": _latin1,  # bytes in a pickle that Python 3 wrote for Python 2
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in.

        Raises:
            pickle.UnpicklingError: For anything but NumPy's arrays.
        """
        admitted = self._ADMITTED.get(f"{module}.{name}")
        if admitted is None:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which is never run")
        return admitted
