"""Which of the kinds of places a path is."""

import zipfile
from pathlib import Path

from dualgan.data.files.base import Files
from dualgan.data.files.cifar10 import CIFAR10Files, find_cifar10
from dualgan.data.files.folder import FolderFiles
from dualgan.data.files.lmdb import LMDBFiles, is_lmdb
from dualgan.data.files.zip import ZipFiles


def open_files(root: Path, hint: str, cache: Path | None = None) -> Files:
    """Return the files of a folder, zip or LMDB, or the training images of CIFAR-10's archives.

    Args:
        root: The place.
        hint: End of the error when there is nothing.
        cache: Folder for what is found out about the files; $DUALGAN_CACHE or ~/.cache/dualgan by default.

    Raises:
        ValueError: When there is nothing at `root`, or a file that is no zip.
    """
    if cifar10 := find_cifar10(root):
        return CIFAR10Files(cifar10, "train")
    if root.is_dir():
        return LMDBFiles(root, cache) if is_lmdb(root) else FolderFiles(root)
    if root.is_file():
        if zipfile.is_zipfile(root):
            return ZipFiles(root)
        raise ValueError(
            f"'{root}' is neither a folder nor a zip file (or it is a zip that is cut off, or must not be read). "
            f"Pass a folder or a whole zip of images."
        )
    raise nothing_at(root, hint)


def nothing_at(place: str | Path, hint: str = "") -> ValueError:
    """The error about a place where there is nothing, which ends in `hint` or in what helps everywhere."""
    advice = hint or "Check the path: relative ones start at the current folder."
    return ValueError(f"There is no folder or zip of images at '{place}'. {advice}")
