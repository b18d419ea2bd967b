"""What folders and zips of image files have in common: which names are images, what is left out, labels."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from dualgan.data.files.base import Files, ImageFile, Labels
from dualgan.data.files.decoding import EXTENSIONS
from dualgan.data.files.labels import labels_of_manifest

MAX_BYTES = 2**29  # of one file: more than the largest image that is decoded takes at 8 bits without compression


class ListedFiles(Files):
    """Image files with names, and perhaps a dataset.json at their root."""

    @abstractmethod
    def read(self, name: str) -> ImageFile:
        """Fetch one image file, or the manifest. Raises KeyError or FileNotFoundError where there is none."""

    def labels(self, names: Sequence[str]) -> Labels | None:
        """Return the classes that a dataset.json at the root gives, or None without one."""
        return labels_of_manifest(self.root, self.read, names)


def is_image(name: str) -> bool:
    """Whether a file's name says that it is an image, and not a hidden one."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS and not is_hidden(name)


def is_zip(name: str) -> bool:
    """Whether a file's name says that it is a zip, and not a hidden one."""
    return name.lower().endswith(".zip") and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder on the way to it, is hidden or made by macOS."""
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def check_bytes(size: int) -> None:
    """Raise a ValueError for a file that is too large for an image."""
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes are more than the {MAX_BYTES} that an image is thought to need")


def warn_left_out(root: Path, what: str, names: Sequence[str], advice: str) -> None:
    """Warn of what is not read, if there is any."""
    if names:
        warnings.warn(f"'{root}': left out {what} ({len(names)}, such as {names[0]!r}); {advice}.", stacklevel=3)


def warn_nested(root: Path, zips: Sequence[str]) -> None:
    """Warn of zips inside."""
    warn_left_out(root, "zip files inside, which are not opened", zips, "unpack them, or pass one by itself")
