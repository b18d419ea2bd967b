"""Where the files of a packed set lie: a folder, or a URL whose files are kept in a cache when first needed."""

import errno
import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from dualgan.data.packed.manifest import MANIFEST, PackedFile
from dualgan.files.atomic import cache_root, digest, file_sha256, replacing
from dualgan.files.trouble import in_words

_ATTEMPTS = 3
_DOWNLOADS = 8
_LOCAL_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})


def is_url(root: str | Path) -> bool:
    """Tell http://..., s3://... from paths."""
    return isinstance(root, str) and "://" in root


def locate(root: str | Path, cache_dir: Path | None) -> "Folder":
    """Return the location of a folder or URL."""
    if is_url(root):
        url = str(root).rstrip("/")
        return RemoteFolder(url, cache_root(cache_dir) / "packed" / digest(url))
    return Folder(Path(root).expanduser())


class Folder:
    """The files of a set in a folder on this machine or on a disk that it shares. Processes may share or pickle it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = str(path)

    def manifest(self) -> Any:
        """Return the parsed JSON of the manifest, or None when it is not JSON."""
        try:
            content = (self.path / MANIFEST).read_bytes()
        except OSError as error:
            raise ValueError(
                f"'{self.root}' is no packed set: {MANIFEST} cannot be read ({error.strerror}). Pass a folder that "
                f"'dualgan prepare' made."
            ) from error
        return _parsed(content)

    def check(self, files: Iterable[PackedFile]) -> None:
        """Compare all sizes with those in the manifest. Raises ValueError."""
        with os.scandir(self.path) as found:
            sizes = {entry.name: entry.stat().st_size for entry in found if entry.is_file()}
        for file in files:
            if file.name not in sizes:
                raise self._missing(file)
            if sizes[file.name] != file.bytes:
                raise ValueError(
                    f"'{self.path / file.name}' has {sizes[file.name]} bytes, and the manifest of its packed set says "
                    f"{file.bytes}: it was not copied as a whole. Copy or make the set again."
                )

    def fetch(self, files: Sequence[PackedFile]) -> None:
        """Do nothing: the files are here."""

    def is_whole(self, file: PackedFile) -> bool:
        """Whether a file has the manifest's SHA-256."""
        return file_sha256(self.path / file.name) == file.sha256

    def open(self, file: PackedFile) -> BinaryIO:
        """Open a file for unbuffered reading."""
        try:
            return (self.path / file.name).open("rb", buffering=0)
        except FileNotFoundError:
            raise self._missing(file) from None

    def _missing(self, file: PackedFile) -> ValueError:
        return ValueError(f"'{self.path / file.name}' is missing from its packed set. Copy or make the set again.")


class RemoteFolder(Folder):
    """A folder behind a URL that fsspec understands. Each file is fetched once per machine, into the folder `cache`.

    fsspec's own caches download into a file's place, where another process finds it half. Here files appear by one
    rename, and count once they have the manifest's SHA-256. A cached file whose size or time has changed since then is
    compared again, and fetched again when it is damaged.
    """

    def __init__(self, url: str, cache: Path) -> None:
        super().__init__(cache)
        self.root = url
        self._known: set[str] = set()

    def manifest(self) -> Any:
        """Return the parsed JSON of the manifest; the cached one, with a warning, when the URL cannot be reached."""
        path = self.path / MANIFEST
        try:
            content = _reach(self.root, lambda system, base: system.cat_file(f"{base}/{MANIFEST}"))
        except _UnreachableError as error:
            if not path.is_file():
                raise ValueError(f"'{self.root}' cannot be read: {error}") from error
            warnings.warn(f"'{self.root}' cannot be reached ({error}): going on with the cached files", stacklevel=2)
            return super().manifest()
        with self._kept(), replacing(path) as partial:
            partial.write_bytes(content)
        return _parsed(content)

    def check(self, files: Iterable[PackedFile]) -> None:
        """Do nothing: every file is checked when it is fetched."""

    def fetch(self, files: Sequence[PackedFile]) -> None:
        """Download what is not in the cache, several files at a time."""
        wanted = [file for file in files if file.name not in self._known]
        if wanted:
            with ThreadPoolExecutor(min(_DOWNLOADS, len(wanted))) as pool:
                list(pool.map(self._ensure, wanted))

    def is_whole(self, file: PackedFile) -> bool:
        """Whether a file is in the cache and has the manifest's SHA-256, by a note about the last time it had."""
        path, note = self.path / file.name, self.path / f".{file.name}.verified"
        if not path.is_file() or path.stat().st_size != file.bytes:
            return False
        expected = f"{file.sha256} {path.stat().st_mtime_ns}"
        if note.is_file() and note.read_text() == expected:
            return True
        whole = super().is_whole(file)
        if whole:
            note.write_text(expected)
        return whole

    def open(self, file: PackedFile) -> BinaryIO:
        """Open the cached file for unbuffered reading, after fetching it if need be."""
        if file.name not in self._known or not (self.path / file.name).exists():  # somebody may clear the cache
            self._ensure(file)
        return super().open(file)

    def _ensure(self, file: PackedFile) -> None:
        with self._kept():
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / f".{file.name}.lock"):  # other processes of this machine wait and then find it
                if not self.is_whole(file):
                    self._download(file)
        self._known.add(file.name)

    def _download(self, file: PackedFile) -> None:
        path = self.path / file.name
        for attempt in range(_ATTEMPTS):
            try:
                with replacing(path) as partial:
                    _reach(self.root, lambda system, base, to=partial: system.get_file(f"{base}/{file.name}", str(to)))
                if self.is_whole(file):
                    return
                problem = "its content does not have the manifest's SHA-256"
            except _UnreachableError as error:
                problem = str(error)
            time.sleep(0.2 * 4**attempt)
        raise ValueError(
            f"'{self.root}/{file.name}' could not be fetched in {_ATTEMPTS} attempts: {problem}. Check the URL and the "
            f"network, or copy the set there again."
        )

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValueError(
                f"Remote images cannot be kept: {in_words(error, self.path)} Or name another "
                f"folder: cache_dir, or the environment variable DUALGAN_CACHE."
            ) from error


class _UnreachableError(Exception):
    """A remote file could not be read; another attempt may help."""


def _reach(url: str, action: Any) -> Any:
    """Do something with the file system of a URL: `action(system, path)`.

    Raises:
        ValueError: The URL's kind is unknown or needs a package, or there is nothing.
        OSError: The disk of this machine is full or may not be written.
        _UnreachableError: Anything else.
    """
    import fsspec

    try:
        return action(*fsspec.core.url_to_fs(url))
    except ImportError as error:
        extra = "'dualgan[s3]'" if url.startswith(("s3://", "s3a://")) else "what the message names"
        raise ValueError(f"'{url}' needs a package that is not installed: {error}. pip install {extra}") from error
    except FileNotFoundError as error:
        raise ValueError(f"There is no packed set at '{url}', or a part of it is missing: {error} not found") from error
    except ValueError as error:
        raise ValueError(f"'{url}' cannot be opened: {error}") from error
    except Exception as error:  # each backend has its own kinds
        if isinstance(error, OSError) and error.errno in _LOCAL_TROUBLE:
            raise
        raise _UnreachableError(f"{type(error).__name__}: {error}".replace("\n", " ")) from error


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # the latter for values nested thousands deep
        return None
