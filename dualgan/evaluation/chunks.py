"""Rows of features in chunks: shared out over ranks, kept on disk so that a killed evaluation loses little."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dualgan.files.atomic import replacing
from dualgan.runtime.distributed import rank, world_size

logger = logging.getLogger("dualgan.evaluation")

_SMALLEST, _LARGEST, _USUAL_NUMBER = 64, 512, 64  # rows, rows, chunks


def chunks_of(count: int) -> list[range]:
    """Split `count` rows: about 64 chunks of 64 to 512 rows, a function of `count` alone."""
    size = min(_LARGEST, _SMALLEST * -(-count // (_SMALLEST * _USUAL_NUMBER)))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def own_chunks(count: int) -> list[range]:
    """This rank's part of the chunks: consecutive ones, so that rank order is row order."""
    chunks = chunks_of(count)
    first, last = (r * len(chunks) // world_size() for r in (rank(), rank() + 1))
    return chunks[first:last]


def batches_of(chunks: Sequence[range], batch_size: int) -> list[range]:
    """Split chunks into batches of at most `batch_size` rows; none reaches over a chunk's end."""
    return [chunk[start : start + batch_size] for chunk in chunks for start in range(0, len(chunk), batch_size)]


class ChunkFolder:
    """Finished chunks in a folder, one file each. A file appears whole or not at all.

    Args:
        folder: made when the first chunk is saved; None keeps nothing.
        what: is kept there, for messages.
    """

    def __init__(self, folder: Path | None, what: str) -> None:
        self.folder, self.what = folder, what

    def holds(self, chunk: range, widths: Mapping[str, int]) -> bool:
        """Tell whether the rows of a chunk are there, [len(chunk), width] under each name; damage is logged."""
        if self.folder is None or not (path := self._path(chunk)).is_file():
            return False
        try:
            with safe_open(path, framework="pt") as file:
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            logger.warning("%s %r are unreadable (%s): computing them again.", self.what, path.name, error)
            return False
        if shapes != {name: (len(chunk), width) for name, width in widths.items()}:
            logger.warning("%s %r have the shapes %s: computing them again.", self.what, path.name, shapes)
            return False
        return True

    def load(self, chunk: range) -> dict[str, Tensor]:
        """Read a chunk that is there."""
        with safe_open(self._path(chunk), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def save(self, chunk: range, rows: Mapping[str, Tensor]) -> None:
        """Keep a chunk; where that is impossible, say so once and go on without."""
        if self.folder is None:
            return
        try:
            with replacing(self._path(chunk)) as partial:
                # safetensors' own `save_file` has no number for a full disk
                partial.write_bytes(save({name: value.contiguous() for name, value in rows.items()}))
        except OSError as error:
            logger.warning(
                "%s could not be kept in %r (%s): going on without.", self.what, str(self.folder.parent), error
            )
            self.folder = None

    def stored(self, chunks: Sequence[range], widths: Mapping[str, int]) -> Iterator[range]:
        """Those of some chunks that are there."""
        return (chunk for chunk in chunks if self.holds(chunk, widths))

    def _path(self, chunk: range) -> Path:
        assert self.folder is not None
        return self.folder / f"{chunk.start:09d}-{chunk.stop:09d}.safetensors"


def rows_in(folder: Path) -> int:
    """Number of rows that a folder of chunks holds, 0 where there is none."""
    names = [path.stem.split("-") for path in folder.glob("[0-9]*-*.safetensors")]
    return sum(int(stop) - int(start) for start, stop in names)
