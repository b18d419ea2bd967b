"""torch.save, whose failures are what they are."""

import io
from pathlib import Path
from typing import Any

import torch

from dualgan.files.trouble import interrupt_behind


class _Remembering(io.BufferedWriter):
    """A file that keeps what has stopped a write to it, and takes what comes after without writing it.

    torch completes its zip file whatever has happened, and where that fails too says so in an error of its own, without
    a number, or ends the process: a full disk or a Ctrl-C would be taken for a mistake in the program.
    """

    stopped_by: BaseException | None = None

    def write(self, content: Any) -> int:
        if self.stopped_by is None:
            try:
                return super().write(content)
            except BaseException as error:
                self.stopped_by = error
        return memoryview(content).nbytes


def save_tensors(content: Any, path: Path) -> None:
    """Write a file of torch.save.

    Raises:
        OSError: The file cannot be written.
        KeyboardInterrupt: A signal came meanwhile.
    """
    with _Remembering(path.open("wb", buffering=0)) as file:
        try:
            torch.save(content, file)
        except Exception as error:
            first = file.stopped_by or interrupt_behind(error)
            if first is None:
                raise
            raise first from None
        if file.stopped_by is not None:
            raise file.stopped_by
