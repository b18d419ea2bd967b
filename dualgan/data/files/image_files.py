"""The files of a folder or zip of images: listing, reading from any process, checking them all once."""

import hashlib
import io
import os
import re
import stat
import warnings
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, Protocol, TypeVar

from PIL import Image
from tqdm import tqdm

from dualgan.data.files.decoding import EXTENSIONS, decode
from dualgan.data.files.labels import labels_of_manifest
from dualgan.files.atomic import digest, read_json, write_json

MAX_BYTES = 2**29  # of one file: more than the largest image that is decoded takes at 8 bits without compression
MAX_DIRECTORY_BYTES = 2**29  # of a zip: names of about five million images
_FREE_BYTES, _MAX_RATIO = 2**24, 100  # a larger member that claims to be compressed better than that is no image

_REPORT_VERSION = 2
_THREADS = min(16, (os.cpu_count() or 1) + 1)  # decoders and hashes leave the interpreter's lock to the others
_WAITING = 4 * _THREADS

Result = TypeVar("Result")


@dataclass(frozen=True)
class Entry:
    """One image file: its name below the root and a stamp that changes with its content (size and time, or CRC)."""

    name: str
    stamp: str


@dataclass(frozen=True)
class Checked:
    """What decoding one file showed. `error` is empty for good files; sizes are in pixels, after EXIF rotation.

    `sha256` is that of the file, empty where it could not be read.
    """

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
        """List the images, sorted by name; one that cannot be reached (a dead link) is among them.

        Raises:
            ValueError: A folder cannot be listed.
        """
        found: list[Entry] = []
        links: list[str] = []
        zips: list[str] = []
        for place, folders, names in os.walk(self.root, onerror=_refuse_folder):
            folder = Path(place)
            folders[:] = [name for name in folders if not _is_hidden(name)]
            links += [self._name(folder / name) for name in folders if (folder / name).is_symlink()]
            zips += [self._name(folder / name) for name in names if _is_zip(name)]
            for path in (folder / name for name in names if _is_image(name)):
                if stamp := _stamp(path):
                    found.append(Entry(self._name(path), stamp))
        _warn_left_out(self.root, "links to folders", links, "pass the folder that they lead to")
        _warn_nested(self.root, zips)
        return sorted(found, key=lambda entry: entry.name)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            ValueError: The file is too large for an image.
            OSError: The file cannot be read.
        """
        path = self.root / name
        _check_bytes(path.stat().st_size)
        return path.read_bytes()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

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
        """List the images, sorted by name; the last of several members of one name is the one that counts.

        Raises:
            ValueError: The zip cannot be opened.
        """
        names = [member.filename for member in self._opened().infolist() if not member.is_dir()]
        images = Counter(name for name in names if _is_image(name.replace("\\", "/")))  # some packers use backslashes
        unsafe = [name for name in images if _is_unsafe(name)]
        _warn_left_out(self.root, "members that lie outside of the zip", unsafe, "pack them again with relative names")
        repeated = [name for name, count in images.items() if count > 1]
        _warn_left_out(self.root, "all but the last of the members with one name", repeated, "rename them to keep them")
        _warn_nested(self.root, [name for name in names if _is_zip(name)])
        members = [self._opened().getinfo(name) for name in sorted(images.keys() - set(unsafe))]
        return [Entry(member.filename, f"{member.file_size}-{member.CRC}") for member in members]

    def read(self, name: str) -> bytes:
        """Return the content of a member; never more than it declares, and never more than MAX_BYTES.

        Raises:
            ValueError: The member is encrypted, compressed with an unusual method, or too large for an image.
            zipfile.BadZipFile: The content is damaged.
        """
        member = self._opened().getinfo(name)
        if member.flag_bits & 1:
            raise ValueError("the member is encrypted: unpack the zip with its password and pass the folder")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # The others cannot be stopped once they have inflated to what the member declares.
            raise ValueError("the member is neither stored nor deflated: pack the zip again with one of these methods")
        _check_bytes(member.file_size)
        if member.file_size > max(_FREE_BYTES, _MAX_RATIO * member.compress_size):
            raise ValueError(
                f"{member.compress_size} bytes that claim to inflate to {member.file_size} are no image: images hardly "
                f"shrink in a zip. Pack it again if it is one, without compression"
            )
        with self._opened().open(member) as file:
            return file.read(member.file_size)

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Return the classes that a dataset.json at the root gives, or None without one."""
        return labels_of_manifest(self.root, self.read, names)

    def _opened(self) -> zipfile.ZipFile:
        # A forked worker must not share the parent's file position.
        if self._zip is None or self._process != os.getpid():
            try:
                self._zip, self._process = zipfile.ZipFile(_BoundedFile(self.root)), os.getpid()
            except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
                raise ValueError(f"'{self.root}' is a damaged zip ({error}). Copy or pack it again.") from error
        return self._zip


class _BoundedFile(io.BufferedReader):
    """A zip's file. Its list of members is read at once, into much larger objects: one that is too long is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does.

        Raises:
            ValueError: More than a list of members needs was asked for at once.
        """
        wanted = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if wanted > MAX_DIRECTORY_BYTES:
            raise ValueError(
                f"'{self.path}' is a zip whose list of members has {wanted:,} bytes, more than the "
                f"{MAX_DIRECTORY_BYTES:,} that are read: unpack it and pass the folder."
            )
        return super().read(size)

    def __del__(self) -> None:
        self.close()  # as a zip does that has opened its file itself


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
    """Return the files of a folder, zip or LMDB, or the training images of CIFAR-10's archives.

    Raises:
        ValueError: When there is nothing at `root` (the error ends with `hint`), or a file that is no zip.
    """
    # These modules import this one.
    from dualgan.data.files.cifar10_files import CIFAR10Files, find_cifar10
    from dualgan.data.files.lmdb_files import LMDBFiles, is_lmdb

    if cifar10 := find_cifar10(root):
        return CIFAR10Files(cifar10, "train")
    if root.is_dir():
        return LMDBFiles(root) if is_lmdb(root) else FolderFiles(root)
    if root.is_file():
        if zipfile.is_zipfile(root):
            return ZipFiles(root)
        raise ValueError(
            f"'{root}' is neither a folder nor a zip file (or it is a zip that is cut off, or must not be read). "
            f"Pass a folder or a whole zip of images."
        )
    advice = hint or "Check the path: relative ones start at the current folder."
    raise ValueError(f"There is no folder or zip of images at '{root}'. {advice}")


def check_files(files: Files, entries: Sequence[Entry], cache: Path) -> list[Checked]:
    """Decode every image once, with a progress bar; a report in the folder `cache` is reused for unchanged files.

    Files that could not be read are tried again: permissions and networks leave no trace in a file's stamp.
    """
    path = report_path(files, entries, cache)
    known = {checked.name: checked for checked in load_report(path, entries) or () if checked.sha256}
    missing = [entry for entry in entries if entry.name not in known]
    if missing:
        bar = f"Checking {files.root.name}"
        known |= {checked.name: checked for checked in in_parallel(lambda entry: _check(files, entry), missing, bar)}
        store_report(path, [known[entry.name] for entry in entries])
    return [known[entry.name] for entry in entries]


def in_parallel(
    function: Callable[[Entry], Result], entries: Sequence[Entry], bar: str
) -> Generator[Result, None, None]:
    """Yield what a function of every entry returns, in order, with a progress bar where someone watches.

    Few calls wait at a time, so that neither memory nor the time that Ctrl-C takes grows with the set.
    """
    with ThreadPoolExecutor(_THREADS) as pool, tqdm(total=len(entries), desc=bar, unit="image", disable=None) as shown:
        waiting: deque[Future[Result]] = deque()
        for entry in entries:
            waiting.append(pool.submit(function, entry))
            if len(waiting) == _WAITING:
                yield waiting.popleft().result()
                shown.update()
        for future in waiting:
            yield future.result()
            shown.update()


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


def store_report(path: Path, report: Sequence[Checked]) -> None:
    """Keep a report for `load_report`."""
    write_json(path, [vars(checked) for checked in report])


def check_image(name: str, content: bytes) -> tuple[Checked, Image.Image | None]:
    """Decode one file: what that showed, and the image unless it is broken."""
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        image = decode(content)
    except Exception as error:  # decoders raise many kinds for broken files; each is reported
        return Checked(name, sha256=sha256, error=reason(error)), None
    return Checked(name, len(image.getbands()), image.width, image.height, sha256), image


def reason(error: Exception) -> str:
    """What an exception says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path, which is named beside it
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}".replace("\n", " ")


def _check(files: Files, entry: Entry) -> Checked:
    try:
        content = files.read(entry.name)
    except Exception as error:  # zipfile raises many kinds for damaged members
        return Checked(entry.name, error=reason(error))
    return check_image(entry.name, content)[0]


def _stamp(path: Path) -> str:
    """Size and time of a file, "unreachable" where there is none, nothing for what is no file (a pipe would block)."""
    try:
        status = path.stat()
    except OSError:
        return "unreachable"
    return f"{status.st_size}-{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else ""


def _check_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes are more than the {MAX_BYTES} that an image is thought to need")


def _refuse_folder(error: OSError) -> NoReturn:
    raise ValueError(
        f"The folder '{error.filename}' cannot be listed ({error.strerror}): its images would be missing. "
        f"Correct its permissions or move it away."
    ) from error


def _warn_left_out(root: Path, what: str, names: Sequence[str], advice: str) -> None:
    if names:
        warnings.warn(f"'{root}': left out {what} ({len(names)}, such as {names[0]!r}); {advice}.", stacklevel=3)


def _warn_nested(root: Path, zips: Sequence[str]) -> None:
    _warn_left_out(root, "zip files inside, which are not opened", zips, "unpack them, or pass one by itself")


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip") and not _is_hidden(name)


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _is_unsafe(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return not parts[0] or ".." in parts or re.fullmatch("[A-Za-z]:.*", parts[0]) is not None
