"""Where a result is to be written, looked at before the work that makes it."""

import os
from collections.abc import Sequence
from pathlib import Path

from dualgan.files.atomic import partial_of

PNG = (".png", ".PNG")


def file_to_write(out: str | Path, endings: Sequence[str], option: str = "out", beside: Sequence[str] = ()) -> Path:
    """The path of a file that can be written. An existing one will be replaced.

    Args:
        out: the file.
        endings: one of which it must have, such as ".png".
        option: name of the option, for messages.
        beside: endings of files that are written under the same name too.

    Raises:
        ValueError: it has another ending, is a folder, or its folder cannot be made or written.
    """
    path = Path(out)
    if path.is_dir():
        example = path / f"NAME{endings[0]}"
        raise ValueError(f"{option} '{out}' is a folder: name the file to write, such as '{example}'")
    if path.suffix not in endings:
        known = ", ".join(dict.fromkeys(ending.lower() for ending in endings))
        raise ValueError(f"{option} '{out}' has an unknown ending: give a file that ends in {known}")
    names = [path.name, *(path.with_suffix(ending).name for ending in beside)]
    _check_folder(path.parent, out, option, max(names, key=len))
    for ending in beside:
        if (other := path.with_suffix(ending)).is_dir():
            raise ValueError(f"{option} '{out}' writes '{other}' too, which is a folder: give another name")
    for file in (path, *(path.with_suffix(ending) for ending in beside)):
        if file.exists() and not os.access(file, os.W_OK):
            raise ValueError(f"{option} '{out}' cannot be written: '{file}' is write-protected. Give another name")
    return path


def folder_to_write(out: str | Path, option: str = "out") -> Path:
    """The path of a folder that is there or can be made, and can be written.

    Raises:
        ValueError: it is a file, or it cannot be made or written.
    """
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{option} '{out}' is a file: name a folder")
    _check_folder(path, out, option)
    return path


def zip_or_folder(out: str | Path, option: str = "out") -> Path:
    """The path of a file that ends in .zip, or else of a folder, that can be written; see the functions above."""
    return file_to_write(out, [".zip"], option) if Path(out).suffix == ".zip" else folder_to_write(out, option)


def png_or_folder(out: str | Path, option: str = "out") -> Path:
    """The path of a .png file, or else of a folder, that can be written.

    Raises:
        ValueError: it has another ending, or cannot be written.
    """
    path = Path(out)
    if path.suffix in PNG:
        return file_to_write(path, PNG, option)
    if path.suffix[1:].isalpha() and not path.is_dir():
        raise ValueError(f"{option} {str(out)!r} has an unknown ending: figures are .png; give such a file or a folder")
    return folder_to_write(path, option)


def _check_folder(folder: Path, out: str | Path, option: str, name: str = "dualgan") -> None:
    """Look at a folder, or at the nearest one above it that is there, and try whether it takes a file of a name."""
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"{option} '{out}' cannot be written: '{there}' is no folder. Give another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{option} '{out}' cannot be written: '{there}' is write-protected. Give another place")
    try:
        _try(there, name)
    except OSError as error:  # rights are not all: /proc, long names, network disks, those without room
        said = error.strerror or type(error).__name__
        raise ValueError(
            f"{option} '{out}' cannot be written: '{there}' takes no such file ({said}). Give another place or name"
        ) from error


def _try(folder: Path, name: str) -> None:
    """Make a file as `replacing` will, and remove it; nothing that is there is touched."""
    partial = partial_of(folder / name)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    partial.unlink()
