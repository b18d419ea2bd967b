"""Decoding every image of a set once, and keeping what that showed."""

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from dualgan.data.files.base import Entry, Files, StoredImage
from dualgan.data.files.values import NoRangeError, ValueRange, Values
from dualgan.files.atomic import digest, read_json, write_json
from dualgan.runtime.progress import Progress

_REPORT_VERSION = 3
_THREADS = min(16, (os.cpu_count() or 1) + 1)  # decoders and hashes leave the interpreter's lock to the others
_WAITING = 4 * _THREADS

Result = TypeVar("Result")


@dataclass(frozen=True)
class Checked:
    """What decoding one file showed. `error` is empty for good files; sizes are in pixels, after EXIF rotation.

    `sha256` is that of the file, empty where it could not be read. `kind`, `low` and `high` are its `Values`, also
    where these are the error, and `format` and `frames` what `decode` says.
    """

    name: str
    channels: int = 0
    width: int = 0
    height: int = 0
    sha256: str = ""
    error: str = ""
    kind: str = ""
    low: float = 0
    high: float = 0
    format: str = ""
    frames: int = 1


def check_files(
    files: Files, entries: Sequence[Entry], cache: Path, value_range: ValueRange | None = None
) -> list[Checked]:
    """Decode every image once, with a progress bar; a report in the folder `cache` is reused for unchanged files.

    Files that could not be read are tried again: permissions and networks leave no trace in a file's stamp.
    """
    path = report_path(files, entries, cache, value_range)
    known = {checked.name: checked for checked in load_report(path, entries) or () if checked.sha256}
    missing = [entry for entry in entries if entry.name not in known]
    if missing:
        bar = f"Checking {files.root.name}"
        found = in_parallel(lambda entry: check_image(files, entry.name, value_range)[0], missing, bar)
        known |= {checked.name: checked for checked in found}
        store_report(path, [known[entry.name] for entry in entries])
    return [known[entry.name] for entry in entries]


def in_parallel(
    function: Callable[[Entry], Result], entries: Sequence[Entry], bar: str
) -> Generator[Result, None, None]:
    """Yield what a function of every entry returns, in order, with a progress bar where someone watches.

    Few calls wait at a time, so that neither memory nor the time that Ctrl-C takes grows with the set.
    """
    with ThreadPoolExecutor(_THREADS) as pool, Progress(bar, len(entries)) as shown:
        waiting: deque[Future[Result]] = deque()
        for entry in entries:
            waiting.append(pool.submit(function, entry))
            if len(waiting) == _WAITING:
                yield waiting.popleft().result()
                shown.update()
        for future in waiting:
            yield future.result()
            shown.update()


def report_path(files: Files, entries: Sequence[Entry], cache: Path, value_range: ValueRange | None = None) -> Path:
    """Place of the report about these files: its name depends on all names, sizes and times (zip: CRCs)."""
    listing = [[entry.name, entry.stamp] for entry in entries]
    about = [_REPORT_VERSION, str(files.root.resolve()), listing, value_range]
    return cache / "checked" / f"{digest(about)}.json"


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


def check_image(
    files: Files, name: str, value_range: ValueRange | None = None
) -> tuple[Checked, StoredImage | None, Image.Image | None]:
    """Read and decode one image: what that showed, and what was read and decoded, unless it is broken."""
    try:
        stored = files.read(name)
    except Exception as error:  # zipfile raises many kinds for damaged members
        return Checked(name, error=reason(error)), None, None
    sha256 = stored.sha256()
    try:
        found = stored.decode(value_range, survey=True)
    except NoRangeError as error:
        return Checked(name, sha256=sha256, error=str(error), **error.values._asdict()), stored, None
    except Exception as error:  # decoders raise many kinds for broken files; each is reported
        return Checked(name, sha256=sha256, error=reason(error)), stored, None
    image, values = found.image, found.values or Values("", 0, 0)
    about = {**values._asdict(), "format": found.format, "frames": found.frames}
    return Checked(name, len(image.getbands()), image.width, image.height, sha256, **about), stored, image


def reason(error: Exception) -> str:
    """What an exception says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path, which is named beside it
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}".replace("\n", " ")
