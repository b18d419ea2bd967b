"""Images as members of a zip."""

import io
import os
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, cast

from dualgan.data.files.base import Entry, ImageFile
from dualgan.data.files.listing import ListedFiles, Sifter, check_bytes, is_zip, left_out, may_be_image, nested

MAX_DIRECTORY_BYTES = 2**29  # of a zip: names of about five million images
_FREE_BYTES, _MAX_RATIO = 2**24, 100  # a larger member that claims to be compressed better than that is no image


class ZipFiles(ListedFiles):
    """Image members of a zip, which is never extracted. Members with absolute names or `..` are ignored."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._zip: zipfile.ZipFile | None = None
        self._process = -1

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_zip": None, "_process": -1}

    def entries(self) -> list[Entry]:
        """List the images, sorted by name; the last of several members of one name is the one that counts.

        Raises:
            ValueError: The zip cannot be opened.
        """
        names = [member.filename for member in self._opened().infolist() if not member.is_dir()]
        # Some packers use backslashes.
        counts = Counter(name for name in names if may_be_image(name.replace("\\", "/")))
        sifter = Sifter(self)
        unsafe = [name for name in counts if _is_unsafe(name)]
        safe = sorted(counts.keys() - set(unsafe))
        images = {name for name in safe if sifter.is_named_image(name) or sifter.is_unnamed_image(name)}
        repeated = [name for name, count in counts.items() if count > 1 and name in images]
        self.remarks = [
            *left_out(self.root, "members that lie outside of the zip", unsafe, "pack them again with relative names"),
            *left_out(self.root, "all but the last of the members with one name", repeated, "rename them to keep them"),
            *nested(self.root, [name for name in names if is_zip(name)]),
            *sifter.remarks(),
        ]
        members = [self._opened().getinfo(name) for name in sorted(images)]
        return [Entry(member.filename, f"{member.file_size}-{member.CRC}") for member in members]

    def opened(self, name: str) -> BinaryIO:
        """Open one member to look into it. Raises what `read` does."""
        return cast(BinaryIO, self._opened().open(self._checked_member(name)))

    def read(self, name: str) -> ImageFile:
        """Fetch a member; never more than it declares, and never more than MAX_BYTES.

        Raises:
            ValueError: The member is encrypted, compressed with an unusual method, or too large for an image.
            zipfile.BadZipFile: The content is damaged.
        """
        member = self._checked_member(name)
        with self._opened().open(member) as file:
            return ImageFile(file.read(member.file_size))

    def _checked_member(self, name: str) -> zipfile.ZipInfo:
        member = self._opened().getinfo(name)
        if member.flag_bits & 1:
            raise ValueError("the member is encrypted: unpack the zip with its password and pass the folder")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # The others cannot be stopped once they have inflated to what the member declares.
            raise ValueError("the member is neither stored nor deflated: pack the zip again with one of these methods")
        check_bytes(member.file_size)
        if member.file_size > max(_FREE_BYTES, _MAX_RATIO * member.compress_size):
            raise ValueError(
                f"{member.compress_size} bytes that claim to inflate to {member.file_size} are no image: images hardly "
                f"shrink in a zip. Pack it again if it is one, without compression"
            )
        return member

    def _opened(self) -> zipfile.ZipFile:
        # A forked worker must not share the parent's file position.
        if self._zip is None or self._process != os.getpid():
            try:
                self._zip, self._process = zipfile.ZipFile(_BoundedFile(self.root)), os.getpid()
            except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
                raise ValueError(f"'{self.root}' is a damaged zip ({error}). Copy or pack it again.") from error
        return self._zip


class _BoundedFile(io.BufferedReader):
    """A zip's file. Its list of members is read at once, into much larger objects: one that is too long is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does.

        Raises:
            ValueError: More than a list of members needs was asked for at once.
        """
        wanted = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if wanted > MAX_DIRECTORY_BYTES:
            raise ValueError(
                f"'{self.path}' is a zip whose list of members has {wanted:,} bytes, more than the "
                f"{MAX_DIRECTORY_BYTES:,} that are read: unpack it and pass the folder."
            )
        return super().read(size)

    def __del__(self) -> None:
        self.close()  # as a zip does that has opened its file itself


def _is_unsafe(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return not parts[0] or ".." in parts or re.fullmatch("[A-Za-z]:.*", parts[0]) is not None
