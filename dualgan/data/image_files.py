"""The files of a folder or zip of images: listing, reading from any process, checking them all once."""

import hashlib
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from tqdm import tqdm

from dualgan.data.cache import digest, read_json, write_json
from dualgan.data.decoding import EXTENSIONS, decode
from dualgan.data.labels import labels_of_manifest

_REPORT_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One image file: its name below the root and a stamp that changes with its content (size and time, or CRC)."""

    name: str
    stamp: str


@dataclass(frozen=True)
class Checked:
    """What decoding one file showed. `error` is empty for good files; sizes are in pixels, after EXIF rotation."""

    name: str
    channels: int = 0
    width: int = 0
    height: int = 0
    sha256: str = ""
    error: str = ""


class FolderFiles:
    """Image files below a folder. Hidden files are skipped, links to folders are not followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entries(self) -> list[Entry]:
        """List the images, sorted by name."""
        found = []
        for folder, _, names in os.walk(self.root):
            for path in (Path(folder, name) for name in names):
                name = path.relative_to(self.root).as_posix()
                if _is_image(name) and path.is_file():
                    status = path.stat()
                    found.append(Entry(name, f"{status.st_size}-{status.st_mtime_ns}"))
        return sorted(found, key=lambda entry: entry.name)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.root / name).read_bytes()

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Return the classes that a dataset.json at the root gives, or None without one."""
        return labels_of_manifest(self.root, self.read, names)


class ZipFiles:
    """Image members of a zip, which is never extracted. Members with absolute names or `..` are ignored."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zip: zipfile.ZipFile | None = None
        self._process = -1

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_zip": None, "_process": -1}

    def entries(self) -> list[Entry]:
        """List the images, sorted by name."""
        members = [member for member in self._opened().infolist() if not member.is_dir() and _is_image(member.filename)]
        return sorted((Entry(m.filename, f"{m.file_size}-{m.CRC}") for m in members), key=lambda entry: entry.name)

    def read(self, name: str) -> bytes:
        """Return the content of a member."""
        return self._opened().read(name)

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Return the classes that a dataset.json at the root gives, or None without one."""
        return labels_of_manifest(self.root, self.read, names)

    def _opened(self) -> zipfile.ZipFile:
        # A forked worker must not share the parent's file position.
        if self._zip is None or self._process != os.getpid():
            self._zip, self._process = zipfile.ZipFile(self.root), os.getpid()
        return self._zip


class Files(Protocol):
    """The image files of a set, wherever they lie: names, contents, and classes where there are any."""

    root: Path

    def entries(self) -> Sequence[Entry]:
        """List the images, sorted by name."""
        ...

    def read(self, name: str) -> bytes:
        """Return the content of one image file."""
        ...

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Return the class of every named image, or None for a set without labels."""
        ...


def open_files(root: Path, hint: str) -> Files:
    """Return the files of a folder, zip or LMDB.

    Raises:
        ValueError: When there is nothing at `root` (the error ends with `hint`), or a file that is no zip.
    """
    from dualgan.data.lmdb_files import LMDBFiles, is_lmdb  # which imports this module

    if root.is_dir():
        return LMDBFiles(root) if is_lmdb(root) else FolderFiles(root)
    if root.is_file():
        if zipfile.is_zipfile(root):
            return ZipFiles(root)
        raise ValueError(f"'{root}' is neither a folder nor a zip file. Pass a folder or a zip of images.")
    advice = hint or "Check the path: relative ones start at the current folder."
    raise ValueError(f"There is no folder or zip of images at '{root}'. {advice}")


def check_files(files: Files, entries: Sequence[Entry], cache: Path) -> list[Checked]:
    """Decode every image once, with a progress bar; a report in the folder `cache` is reused for unchanged files."""
    path = report_path(files, entries, cache)
    report = load_report(path, entries)
    if report is None:
        with ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 1)) as pool:
            work = pool.map(lambda entry: _check(files, entry), entries)
            report = list(tqdm(work, total=len(entries), desc=f"Checking {files.root.name}", unit="image"))
        write_json(path, [asdict(checked) for checked in report])
    return report


def report_path(files: Files, entries: Sequence[Entry], cache: Path) -> Path:
    """Place of the report about these files: its name depends on all names, sizes and times (zip: CRCs)."""
    listing = [[entry.name, entry.stamp] for entry in entries]
    return cache / "checked" / f"{digest([_REPORT_VERSION, str(files.root.resolve()), listing])}.json"


def load_report(path: Path, entries: Sequence[Entry]) -> list[Checked] | None:
    """Return a stored report, or None when it is missing or not about these entries."""
    try:
        report = [Checked(**fields) for fields in read_json(path) or ()]
    except TypeError:
        return None
    return report if [checked.name for checked in report] == [entry.name for entry in entries] else None


def _check(files: Files, entry: Entry) -> Checked:
    try:
        content = files.read(entry.name)
        image = decode(content)
    except Exception as error:  # decoders and zipfile raise many kinds for broken files; each is reported
        return Checked(entry.name, error=f"{type(error).__name__}: {error}".replace("\n", " "))
    sha256 = hashlib.sha256(content).hexdigest()
    return Checked(entry.name, len(image.getbands()), image.width, image.height, sha256)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)  # `..` is among them
    return path.suffix.lower() in EXTENSIONS and not hidden and not path.is_absolute() and ":" not in path.parts[0]
