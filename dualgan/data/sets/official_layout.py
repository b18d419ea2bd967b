"""Where a published set keeps its parts, and what to get when it is not there."""

from collections.abc import Sequence
from dataclasses import dataclass

from dualgan.data.files.base import Entry, Files, Labels, StoredImage


@dataclass(frozen=True)
class SourceCard:
    """What a user must know to get a data set; each is part of a sentence.

    Attributes:
        name: The set.
        size: Images and bytes.
        source: Where and how to get it.
        layout: What the root must hold.
        licence: Terms of use.
    """

    name: str
    size: str
    source: str
    layout: str
    licence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.size}. Get it from {self.source}. Expected: {self.layout}. Licence: {self.licence}."


class FilesBelow(Files):
    """Those image files whose names lead through one folder."""

    def __init__(self, files: Files, folder: str) -> None:
        super().__init__(files.root)
        self.files, self.folder = files, folder

    def entries(self) -> Sequence[Entry]:
        """List the images, sorted by name."""
        entries = self.files.entries()
        self.remarks = self.files.remarks
        return [entry for entry in entries if _leads_through(entry.name, self.folder)]

    def read(self, name: str) -> StoredImage:
        """Fetch one image."""
        return self.files.read(name)

    def count_frames(self, name: str) -> int:
        """How many frames an image file holds."""
        return self.files.count_frames(name)

    def labels(self, names: Sequence[str]) -> Labels | None:
        """Return the classes of the named images, or None for a set that says nothing about them."""
        return self.files.labels(names)


def part_of(files: Files, wanted: str, parts: Sequence[str], advice: str) -> Files:
    """Return the files of one part of a published set, or all files where no part is to be seen.

    Args:
        files: All image files that were found.
        wanted: Folder of the part, one of `parts`.
        parts: Folders of all parts; the first is what a folder of exported images stands for.
        advice: End of the errors.

    Raises:
        ValueError: When there are other parts only, or no parts and another than the first is wanted.
    """
    names = [entry.name for entry in files.entries()]
    found = [part for part in parts if any(_leads_through(name, part) for name in names)]
    if wanted in found:
        return FilesBelow(files, wanted)
    # The root itself may be the folder of a part.
    found = found or [part for part in parts if _leads_through(f"{files.root.resolve()}/", part)]
    if wanted in found or (not found and wanted == parts[0]):
        return files
    there = f"only {' and '.join(found)}" if found else "no part of the set that could be told from its folders"
    raise ValueError(f"'{files.root}' does not hold {wanted}, {there}. {advice}")


def _leads_through(name: str, folder: str) -> bool:
    return f"/{folder}/" in f"/{name}"
