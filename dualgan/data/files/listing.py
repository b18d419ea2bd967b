"""What folders and zips of image files have in common: which names are images, what is left out, labels."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from PIL import Image

from dualgan.data.files.base import Files, ImageFile, Labels, Remark
from dualgan.data.files.kinds import RAW, count_frames, formats, holds_image, suffix_of, trusted_suffixes, why_not
from dualgan.data.files.labels import MANIFEST, labels_of_manifest

_NO_IMAGES = frozenset({MANIFEST, "thumbs.db", "desktop.ini"})  # in every other folder, and never meant as images
_LOOKS = 1000  # files of one suffix: if none of them is an image, the others of that suffix are taken for none either
_SHOWN = 10  # suffixes that a remark names

MAX_BYTES = 2**29  # of one file: more than the largest image that is decoded takes at 8 bits without compression


class ListedFiles(Files):
    """Image files with names, and perhaps a dataset.json at their root."""

    @abstractmethod
    def read(self, name: str) -> ImageFile:
        """Fetch one image file, or the manifest. Raises KeyError or FileNotFoundError where there is none."""

    @abstractmethod
    def opened(self, name: str) -> BinaryIO:
        """Open one file to look into it; raises what `read` does."""

    def count_frames(self, name: str) -> int:
        """How many frames an image file holds, by its headers. Decoders raise many kinds for broken files."""
        with self.opened(name) as file, Image.open(file, formats=formats()) as image:
            return count_frames(image)

    def labels(self, names: Sequence[str]) -> Labels | None:
        """Return the classes that a dataset.json at the root gives, or None without one."""
        return labels_of_manifest(self.root, self.read, names)


class Sifter:
    """Parts images from other files, and counts these by their suffix.

    Files with the suffix of an image are taken for images: only decoding them shows whether they are. Into others this
    looks, at the first `_LOOKS` of a suffix if none of them is an image.
    """

    def __init__(self, files: ListedFiles) -> None:
        self.files = files
        self.trusted = trusted_suffixes()
        self.left_out: Counter[str] = Counter()
        self._images: Counter[str] = Counter()

    def is_named_image(self, name: str) -> bool:
        """Whether a file's name says that it is an image."""
        return suffix_of(name) in self.trusted

    def is_unnamed_image(self, name: str) -> bool:
        """Whether a file without the suffix of an image is one; pass names in their order."""
        suffix = suffix_of(name)
        looks = suffix not in RAW and (self._images[suffix] or self.left_out[suffix] < _LOOKS)
        if looks and self._is_image(name):
            self._images[suffix] += 1
            return True
        self.left_out[suffix] += 1
        return False

    def _is_image(self, name: str) -> bool:
        try:
            with self.files.opened(name) as file:
                return holds_image(file)
        except Exception:  # what cannot be read is left out; zipfile raises many kinds
            return False

    def remarks(self) -> list[Remark]:
        """What was left out, in one line; an alarm where names say that it is pictures."""
        if not self.left_out:
            return []
        kinds = [f"{count:,} {_described(suffix, count)}" for suffix, count in self.left_out.most_common(_SHOWN)]
        if others := len(self.left_out) - _SHOWN:
            kinds += [f"and those of {others} more suffixes"] if others > 0 else []
        total = self.left_out.total()
        text = f"Left out {total:,} file{'s' if total > 1 else ''} of '{self.files.root}': {', '.join(kinds)}"
        return [Remark(text, any(why_not(suffix) for suffix in self.left_out))]


def _described(suffix: str, count: int) -> str:
    why = why_not(suffix) or (f"only {_LOOKS:,} were looked into" if count > _LOOKS else "")
    return (suffix or "without suffix") + (f" ({why})" if why else "")


def may_be_image(name: str) -> bool:
    """Whether a file can be an image at all: it is neither hidden nor a zip nor one of those that lie everywhere."""
    return not is_hidden(name) and not is_zip(name) and PurePosixPath(name).name.lower() not in _NO_IMAGES


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


def left_out(root: Path, what: str, names: Sequence[str], advice: str) -> list[Remark]:
    """What is not read, if there is any."""
    return [Remark(f"'{root}': left out {what} ({len(names)}, such as {names[0]!r}); {advice}.", True)] if names else []


def nested(root: Path, zips: Sequence[str]) -> list[Remark]:
    """Zips inside, if there are any."""
    return left_out(root, "zip files inside, which are not opened", zips, "unpack them, or pass one by itself")
