"""Images as files below a folder."""

import os
import stat
from pathlib import Path
from typing import NoReturn

from dualgan.data.files.base import Entry, ImageFile
from dualgan.data.files.listing import ListedFiles, check_bytes, is_hidden, is_image, is_zip, warn_left_out, warn_nested


class FolderFiles(ListedFiles):
    """Image files below a folder. Hidden files are skipped, links to folders are not followed."""

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
            folders[:] = [name for name in folders if not is_hidden(name)]
            links += [self._name(folder / name) for name in folders if (folder / name).is_symlink()]
            zips += [self._name(folder / name) for name in names if is_zip(name)]
            for path in (folder / name for name in names if is_image(name)):
                if stamp := _stamp(path):
                    found.append(Entry(self._name(path), stamp))
        warn_left_out(self.root, "links to folders", links, "pass the folder that they lead to")
        warn_nested(self.root, zips)
        return sorted(found, key=lambda entry: entry.name)

    def read(self, name: str) -> ImageFile:
        """Fetch one file.

        Raises:
            ValueError: The file is too large for an image.
            OSError: The file cannot be read.
        """
        path = self.root / name
        check_bytes(path.stat().st_size)
        return ImageFile(path.read_bytes())

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
