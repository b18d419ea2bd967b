"""Parts of a long check: each within its time, none able to end the program, all written down as they come."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dualgan.files.atomic import replacing

PASS, FAIL, MEASURED, LEFT_OUT = "pass", "FAIL", "measured", "left out"
GRACE = 10.0  # seconds of the budget kept for writing


class OutOfTime(BaseException):
    """A part's time is over; no `except Exception` on the way holds it up."""


class Row(NamedTuple):
    """One line of the table."""

    part: str
    name: str
    status: str
    values: dict[str, float]
    note: str = ""


Outcome = tuple[str, str, dict[str, float], str]  # name, status, values, note


class Part(NamedTuple):
    """Something to be checked or measured, and for how many seconds at most."""

    name: str
    seconds: float
    run: Callable[[], Iterable[Outcome]]


def reason(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def checked(name: str, find: Callable[[], float], bound: float) -> Outcome:
    """Whether an error stays within its bound; anything raised is a failure."""
    try:
        error = find()
    except Exception as problem:
        return name, FAIL, {}, reason(problem)
    return name, PASS if error <= bound else FAIL, {"error": error, "bound": bound}, ""


def measured(name: str, find: Callable[[], dict[str, float]]) -> Outcome:
    """Numbers of a measurement; anything raised is a failure."""
    try:
        return name, MEASURED, find(), ""
    except Exception as problem:
        return name, FAIL, {}, reason(problem)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the main thread after a while."""

    def over(signum: int, frame: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Report:
    """All rows so far, on the disk after every part.

    Args:
        folder: Where device_check.json and device_check.md go.
        about: What is said of the machine.
        budget: Seconds for everything.
    """

    def __init__(self, folder: Path, about: dict[str, str], budget: float) -> None:
        self.folder, self.about, self.budget = folder, about, budget
        self.rows: list[Row] = []
        self.started = time.monotonic()

    def left(self) -> float:
        return self.budget - GRACE - (time.monotonic() - self.started)

    def run(self, parts: Sequence[Part]) -> bool:
        """Run the parts one after the other; whether none failed."""
        # Work that no Python signal reaches, such as a kernel that never ends, must not hold the results back.
        watchdog = threading.Timer(self.budget, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        for part in parts:
            self.run_part(part)
            self.write()
        watchdog.cancel()
        return not any(row.status == FAIL for row in self.rows)

    def run_part(self, part: Part) -> None:
        """Keep what a part gives until its time, the budget or an error ends it."""
        seconds = min(part.seconds, self.left())
        if seconds <= 0:
            self.add(Row(part.name, "", LEFT_OUT, {}, "the budget was spent"))
            return
        try:
            with time_limit(seconds):
                for outcome in part.run():
                    self.add(Row(part.name, *outcome))
        except OutOfTime:
            self.add(Row(part.name, "the rest", LEFT_OUT, {}, f"stopped after {seconds:.0f} s"))
        except Exception as problem:
            self.add(Row(part.name, "the rest", FAIL, {}, reason(problem)))

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print(line(row), flush=True)

    def write(self) -> None:
        found = {"about": self.about, "rows": [row._asdict() for row in self.rows]}
        for name, text in (
            ("device_check.json", json.dumps(found, indent=1) + "\n"),
            ("device_check.md", self.table()),
        ):
            with replacing(self.folder / name) as path:
                path.write_text(text, encoding="utf-8")

    def table(self) -> str:
        about = "\n".join(f"- {key}: {value}" for key, value in self.about.items())
        head = "| Part | What | Result | Numbers | Note |\n|:--|:--|:--|:--|:--|"
        rows = "\n".join(
            f"| {row.part} | {row.name} | {row.status} | {numbers(row)} | {row.note.replace('|', '/')} |"
            for row in self.rows
        )
        return f"{about}\n\n{head}\n{rows}\n"

    def _give_up(self) -> None:
        self.add(Row("budget", "", FAIL, {}, f"{self.budget:.0f} s were over, and a part could not be stopped"))
        self.write()
        os._exit(1)


def numbers(row: Row) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.values.items())


def line(row: Row) -> str:
    return f"{row.status:9}{row.part}: {row.name}  {numbers(row)}  {row.note}".rstrip()
