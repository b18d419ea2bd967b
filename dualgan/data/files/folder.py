"""Images as files below a folder."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, NoReturn

from dualgan.data.files.base import Entry, ImageFile
from dualgan.data.files.listing import (
    ListedFiles,
    Sifter,
    check_bytes,
    is_hidden,
    is_zip,
    left_out,
    may_be_image,
    nested,
)


class FolderFiles(ListedFiles):
    """Image files below a folder. Hidden files are skipped, links to folders are not followed."""

    def entries(self) -> list[Entry]:
        """List the images, sorted by name; one that cannot be reached (a dead link) is among them.

        Raises:
            ValueError: A folder cannot be listed.
        """
        sifter = Sifter(self)
        found: list[str] = []
        unnamed: list[str] = []
        links: list[str] = []
        zips: list[str] = []
        for place, folders, names in os.walk(self.root, onerror=_refuse_folder):
            folder = Path(place)
            folders[:] = [name for name in folders if not is_hidden(name)]
            links += [self._name(folder / name) for name in folders if (folder / name).is_symlink()]
            zips += [self._name(folder / name) for name in names if is_zip(name)]
            for name in filter(may_be_image, names):
                (found if sifter.is_named_image(name) else unnamed).append(self._name(folder / name))
        found += [name for name in sorted(unnamed) if sifter.is_unnamed_image(name)]
        self.remarks = [
            *left_out(self.root, "links to folders", links, "pass the folder that they lead to"),
            *nested(self.root, zips),
            *sifter.remarks(),
        ]
        return [Entry(name, stamp) for name in sorted(found) if (stamp := _stamp(self.root / name))]

    def read(self, name: str) -> ImageFile:
        """Fetch one file.

        Raises:
            ValueError: The file is too large for an image.
            OSError: The file cannot be read.
        """
        path = self.root / name
        check_bytes(path.stat().st_size)
        return ImageFile(path.read_bytes())

    def opened(self, name: str) -> BinaryIO:
        """Open one file to look into it.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is no file, and opening it could wait for ever.
        """
        if not stat.S_ISREG((self.root / name).stat().st_mode):
            raise ValueError(f"'{name}' is no file")
        return (self.root / name).open("rb")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _stamp(path: Path) -> str:
    """Size and time of a file, "unreachable" where there is none, nothing for what is no file (a pipe would block)."""
    try:
        status = path.stat()
    except OSError:
        return "unreachable"
    return f"{status.st_size}-{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else ""


def _refuse_folder(error: OSError) -> NoReturn:
    raise ValueError(
        f"The folder '{error.filename}' cannot be listed ({error.strerror}): its images would be missing. "
        f"Correct its permissions or move it away."
    ) from error
