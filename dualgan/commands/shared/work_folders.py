"""What an interrupted evaluation leaves: a folder that the same one goes on from, and that another one removes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dualgan.evaluation.chunks import rows_in

_LOCK = "in_use"


@contextmanager
def claimed(work: Path) -> Iterator[None]:
    """Hold an evaluation's folder inside of the one of its file: others that no process holds are removed, and named.

    What is kept in the folder stays there for the caller, or for the same evaluation another time. A folder in which
    nothing was kept is gone again.
    """
    lock = _hold(work)
    try:
        _remove_unused(work)
        yield
    finally:
        if lock is not None:
            lock.close()
        if not kept_in(work):
            remove(work)


def remove(work: Path) -> None:
    """Remove an evaluation's folder, and the one around it unless another evaluation has its own there."""
    shutil.rmtree(work, ignore_errors=True)
    with suppress(OSError):
        work.parent.rmdir()


def kept_in(folder: Path) -> bool:
    """Whether anything measured lies somewhere in a folder."""
    return next(folder.rglob("*.safetensors"), None) is not None


def _hold(work: Path) -> IO[bytes] | None:
    """Lock a folder for as long as the file that this returns is open; None where that is impossible."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        file = (work / _LOCK).open("ab")
    except OSError:  # saving will say it
        return None
    if _lock(file):
        return file
    file.close()
    return None


def _lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process alone; False where another one has, or the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _remove_unused(work: Path) -> None:
    for other in [folder for folder in work.parent.glob("*/") if folder != work]:
        lock = _hold(other)
        if lock is None:
            continue
        count = rows_in(other / "generated")
        shutil.rmtree(other, ignore_errors=True)
        lock.close()
        print(
            f"Removed {count} measured images of an interrupted evaluation, of another checkpoint or with other "
            f"settings, from {work.parent}."
        )
