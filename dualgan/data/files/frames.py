"""All frames of image files as images of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualgan.data.files.base import Entry, Files, ImageFile, Labels, Remark, StoredImage
from dualgan.data.files.checking import in_parallel
from dualgan.data.files.kinds import may_hold_frames
from dualgan.files.atomic import digest, read_json, write_json


class AllFrames(Files):
    """The frames of the files of a set. A file of one frame keeps its name; others give NAME#0, NAME#1 and so on.

    The files whose format may hold several are opened once, and what that showed is kept in the folder `cache`.
    """

    def __init__(self, files: Files, cache: Path) -> None:
        super().__init__(files.root)
        self.files, self.cache = files, cache
        self.decoded_first = files.decoded_first
        self._frames: dict[str, tuple[str, int]] = {}

    def entries(self) -> Sequence[Entry]:
        """List the frames, in the order of the files' names and of the frames.

        Raises:
            ValueError: A frame would have the name of another file.
        """
        files = self.files.entries()
        counts = self._counts(files)
        found: list[Entry] = []
        self._frames = {}
        for entry in files:
            count = counts.get(entry.name, 1)
            names = [f"{entry.name}#{frame:0{len(str(count - 1))}}" for frame in range(count)]
            if count == 1:
                found.append(entry)
                continue
            found += [Entry(name, entry.stamp) for name in names]
            self._frames |= {name: (entry.name, frame) for frame, name in enumerate(names)}
        if taken := self._frames.keys() & {entry.name for entry in files}:
            raise ValueError(f"'{self.root}': {min(taken)!r} is the name of a file and of a frame. Rename the file.")
        several, looked = sum(count > 1 for count in counts.values()), sum(may_hold_frames(e.name) for e in files)
        text = (
            f"All frames of '{self.root}': {several:,} of {looked:,} files looked into have several, "
            f"{len(self._frames):,} frames in all"
        )
        self.remarks = [*self.files.remarks, Remark(text)]
        return found

    def _counts(self, entries: Sequence[Entry]) -> dict[str, int]:
        """Frames of every file that may have several."""
        maybe = [entry for entry in entries if may_hold_frames(entry.name)]
        listing = [[entry.name, entry.stamp] for entry in maybe]
        path = self.cache / "frames" / f"{digest([str(self.root.resolve()), listing])}.json"
        known: Any = read_json(path)
        if isinstance(known, dict) and all(type(count) is int and count > 0 for count in known.values()):
            return known
        counted = in_parallel(self._count, maybe, f"Counting frames of {self.root.name}")
        counts = {entry.name: count for entry, count in zip(maybe, counted, strict=True) if count > 1}
        write_json(path, counts)
        return counts

    def _count(self, entry: Entry) -> int:
        try:
            return self.files.count_frames(entry.name)
        except Exception:  # the check finds and names it
            return 1

    def read(self, name: str) -> StoredImage:
        """Fetch one frame."""
        file, frame = self._frames.get(name, (name, None))
        stored = self.files.read(file)
        return stored if frame is None or not isinstance(stored, ImageFile) else ImageFile(stored.content, frame)

    def stamp(self) -> str:
        """Text that changes with the content of any file."""
        return self.files.stamp()

    def labels(self, names: Sequence[str]) -> Labels | None:
        """Return the classes of the files of the named frames, or None for a set that says nothing about them."""
        return self.files.labels([self._frames.get(name, (name, 0))[0] for name in names])
