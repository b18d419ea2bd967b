"""The images of an LMDB, as LSUN comes: one record each, a hash as key and a JPEG or WebP file as value."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import lmdb
import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.base import Entry, Files, ImageFile
from dualgan.files.atomic import cache_root, digest, replacing

T = TypeVar("T")

DATA_FILE = "data.mdb"
_KEYS_AT_ONCE = 2**16

_LOCK = Lock()
_ENVIRONMENTS: dict[Path, tuple[tuple[int, ...], lmdb.Environment]] = {}
"""The open ones, with the process and the state of the file that they belong to."""


def is_lmdb(root: Path) -> bool:
    """Whether this is the folder of an LMDB."""
    return (root / DATA_FILE).is_file()


class LMDBFiles(Files):
    """Records of an LMDB, in the order of their keys, which are text.

    The keys are listed once and kept in the cache folder as an array of bytes that every process maps into memory: the
    three million of LSUN bedroom are 120 MB there, and no Python objects.

    Args:
        root: Folder with data.mdb.
        cache: Folder for the list of keys; $DUALGAN_CACHE or ~/.cache/dualgan by default.

    Raises:
        ValueError: From every method, for a damaged LMDB, and keys that are no ASCII text.
    """

    decoded_first = False

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        super().__init__(root)
        self.cache = cache or cache_root(None)
        self._keys: NDArray[np.bytes_] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "cache": self.cache, "_keys": None}

    def entries(self) -> Sequence[Entry]:
        """List the records, sorted by key; entries are made when they are asked for."""
        stamp = self.stamp()
        return _Lazy(self, lambda key: Entry(key, stamp))

    def names(self) -> Sequence[str]:
        """List the keys, as text, in their order."""
        return _Lazy(self, str)

    def read(self, name: str) -> ImageFile:
        """Fetch the value of a key; one that is not there is damage."""
        try:
            with self._opened().begin(buffers=False) as records:
                value: bytes | None = records.get(name.encode("ascii"))
        except (lmdb.Error, UnicodeEncodeError) as error:
            raise self._damaged(str(error)) from error
        if value is None:
            raise self._damaged(f"there is no record '{name}'")
        return ImageFile(value)

    def stamp(self) -> str:
        """Hash of the keys, the number of records, and size and time of the file: changes with the content."""
        keys = self.keys()
        return digest([self._place(), len(keys), hashlib.sha256(keys.view(np.uint8).data).hexdigest()])

    def keys(self) -> NDArray[np.bytes_]:
        """Return all keys [N] in their order, mapped into memory from the cache."""
        if self._keys is None:
            path = self.cache / "lmdb_keys" / f"{digest([str(self.root.resolve()), self._place()])}.npy"
            self._keys = _stored(path, self._count())
            if self._keys is None:
                with replacing(path) as partial, partial.open("wb") as file:
                    np.save(file, self._list_keys())
                self._keys = np.load(path, mmap_mode="r")
        return self._keys

    def _place(self) -> list[int]:
        status = (self.root / DATA_FILE).stat()
        return [status.st_size, status.st_mtime_ns]

    def _count(self) -> int:
        return int(self._opened().stat()["entries"])

    def _list_keys(self) -> NDArray[np.bytes_]:
        try:
            with self._opened().begin() as records:
                listed = records.cursor().iternext(keys=True, values=False)
                parts = []
                while chunk := list(islice(listed, _KEYS_AT_ONCE)):
                    parts.append(self._as_array(chunk))
        except lmdb.Error as error:
            raise self._damaged(str(error)) from error
        keys = np.concatenate(parts) if parts else np.empty(0, "S1")
        if len(keys) != self._count():
            raise self._damaged(f"{len(keys)} of {self._count()} records are left")
        return keys

    def _as_array(self, keys: list[bytes]) -> NDArray[np.bytes_]:
        for key in keys:
            if not key.isascii() or b"\0" in key:
                raise ValueError(
                    f"'{self.root}' is an LMDB with a key that is no text, {key[:40]!r}: expected one image per "
                    f"record, as in LSUN's. Pass LSUN's LMDB, or a folder or zip of images."
                )
        return np.array(keys, np.bytes_)

    def _opened(self) -> lmdb.Environment:
        try:
            environment = _environment(self.root.resolve(), *self._place())
        except lmdb.Error as error:
            raise self._damaged(str(error)) from error
        # LMDB maps the file into memory: reading a page behind its end would kill the process.
        expected = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        found, _ = self._place()
        if found < expected:
            raise self._damaged(f"{DATA_FILE} has {found:,} bytes of {expected:,}")
        return environment

    def _damaged(self, reason: str) -> ValueError:
        return ValueError(
            f"'{self.root}' is a damaged LMDB ({reason}): expected {DATA_FILE} as it was published. Download or "
            f"unpack it again."
        )


class _Lazy(Sequence[T]):
    """Something made of every key when it is asked for."""

    def __init__(self, files: LMDBFiles, make: Callable[[str], T]) -> None:
        self.files, self.make = files, make
        self._length = len(files.keys())

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        chosen = self.files.keys()[index]
        if isinstance(index, slice):
            return [self.make(key.decode("ascii")) for key in chosen.tolist()]
        return self.make(bytes(chosen).decode("ascii"))

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), _KEYS_AT_ONCE):
            yield from self[start : start + _KEYS_AT_ONCE]


def _environment(root: Path, *place: int) -> lmdb.Environment:
    """Open an LMDB once per process: LMDB allows no more, and none that was opened before a fork."""
    with _LOCK:
        owner, environment = _ENVIRONMENTS.get(root, (None, None))
        if environment is not None and owner == (os.getpid(), *place):
            return environment
        if environment is not None:
            environment.close()
        environment = lmdb.open(
            os.fspath(root), readonly=True, lock=False, readahead=False, meminit=False, max_readers=1
        )
        _ENVIRONMENTS[root] = (os.getpid(), *place), environment
        return environment


def _stored(path: Path, count: int) -> NDArray[np.bytes_] | None:
    try:
        keys: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return keys if keys.shape == (count,) and keys.dtype.kind == "S" else None
