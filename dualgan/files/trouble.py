"""What the system says when a file cannot be read or written, in true sentences; and what is behind an error."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_GONE = (errno.ENOENT, errno.ESTALE)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)
OF_DISKS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})
"""Never part of a program's normal course, as that a file is missing may be."""


def in_words(error: OSError, place: Path | None = None) -> str:
    """What an error of the system means, and what to do about it; only a disk without room is called full.

    Args:
        error: The error.
        place: The file; by default the one that the error names, if it names one.
    """
    place = named_by(error) if place is None else place
    file, said = str(place or "a file"), error.strerror or str(error) or type(error).__name__
    number = error.errno
    if number == errno.ENOSPC:
        return f"the disk is full: {file} cannot be written ({said}{_room(place)}). Make room there."
    if number == errno.EDQUOT:
        return f"{file} cannot be written ({said}): your quota there is used up. Remove files, or ask for a larger one."
    if number == errno.EFBIG:
        return f"{file} cannot be written ({said}): files may not grow so large there. 'ulimit -f' shows your limit."
    if number == errno.EROFS:
        return f"{file} cannot be written ({said}): mount that disk for writing, or choose a place on another one."
    if number == errno.EIO:
        return f"{file} cannot be read or written ({said}): its disk, or the way to it, has failed. Check it first."
    if number in _GONE:
        return f"{file} cannot be read or written ({said}). Check the path: it may have been moved or removed."
    if number in _FORBIDDEN:
        return (
            f"{file} cannot be read or written ({said}): you may not, or another program holds it. Check the rights "
            f"of the file and its folder."
        )
    if number in _TOO_MANY_OPEN:
        return f"{file} cannot be opened ({said}): raise the limit, which 'ulimit -n' shows, or use fewer processes."
    return f"{file} cannot be read or written ({said}): check the path."


def absent(path: Path, kind: str) -> str:
    """What is at a place where a file of some kind is not."""
    return f"{path} is a folder" if path.is_dir() else f"no {kind} at {path}"


def named_by(error: OSError) -> Path | None:
    """The file that an error names; of two, the one that was to be made."""
    name = error.filename2 or error.filename
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes | os.PathLike) else None


def _room(place: Path | None) -> str:
    """How much is free where a file was to be written, as far as that can be found out."""
    if place is None:
        return ""
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        if hasattr(os, "statvfs") and (free := os.statvfs(place)).f_files and not free.f_favail:
            return ", the disk holds no more files"
        return f", {shutil.disk_usage(place).free // 2**20} MB free"
    except OSError:
        return ""


def behind(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it: libraries put errors of their own in the place of interrupts and of the system's."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The Ctrl-C or other signal that was the beginning of an error; None where there was none."""
    return next((cause for cause in behind(error) if isinstance(cause, KeyboardInterrupt)), None)
