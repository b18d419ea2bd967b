"""How far long work is: a bar for who watches a terminal, a line now and then for who reads a file."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from tqdm import tqdm

T = TypeVar("T")

SECONDS_TO_FIRST_LINE = 5.0  # what takes less needs none
SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """A progress bar on the standard error; where that is no terminal, a line after some seconds and then each minute.

    A context manager. The bar goes when the block ends.

    Args:
        what: is done, such as "Evaluating".
        total: number of things that it is done to.
        unit: their name in the plural.
        shown: whether to show anything: of several processes one does.
        settings: of tqdm's bar.
    """

    def __init__(self, what: str, total: int, unit: str = "images", shown: bool = True, **settings: Any) -> None:
        self.what, self.total, self.unit, self.stage, self.done = what, total, unit, "", 0
        watched = sys.stderr.isatty() and _has_columns()
        self.bar = tqdm(
            total=total, desc=what, unit=f" {unit}", leave=False, dynamic_ncols=True, disable=not (shown and watched),
            **settings,
        )  # fmt: skip
        self._lines = shown and not watched
        self._next_line = time.monotonic() + SECONDS_TO_FIRST_LINE

    def update(self, count: int = 1, stage: str = "") -> None:
        """Count things that are done, of a stage of the work."""
        if stage != self.stage:
            self.stage = stage
            self.bar.set_description(f"{self.what}: {stage}" if stage else self.what, refresh=False)
        self.done += count
        self.bar.update(count)
        if self._lines and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            stage = f" ({self.stage})" if self.stage else ""
            print(f"{self.what}: {self.done:,} of {self.total:,} {self.unit}{stage}", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()


def _has_columns() -> bool:
    """Whether the terminal says how wide it is: where it does not, tqdm draws nothing."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):  # something that only says that it is a terminal
        return True


def progress(things: Iterable[T], what: str, total: int, unit: str = "images") -> Iterator[T]:
    """Pass things on, and show how many have been worked on."""
    with Progress(what, total, unit) as shown:
        for thing in things:
            yield thing
            shown.update()
