"""Runs side by side, each command in a process of its own; all stop, saved, when the time is up or a signal comes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from dualgan.comparison.study.machine import Place
from dualgan.comparison.study.runs import LOG, StudyRun
from dualgan.runtime.progress import Progress
from dualgan.terminal.console import say

POLL_SECONDS = 0.2
LOOK_SECONDS = 5.0  # between looks at how far the trainings are
STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM, -9)  # exit codes of processes that were asked to stop, or killed
SHOWN_LINES = 5  # of a failed run's log


class Process(Protocol):
    """As much of subprocess.Popen as is used here."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""

    def terminate(self) -> None:
        """Ask it to save and stop."""

    def kill(self) -> None:
        """End it at once."""


def launch(words: Sequence[str], log: Path, variables: Mapping[str, str]) -> Process:
    """Start `dualgan` with some words; what it prints is added to a file.

    In a session of its own: Ctrl-C comes to this process alone, which asks the others to stop.
    """
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "dualgan", *words], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            env=os.environ | variables, start_new_session=True,
        )  # fmt: skip


@dataclass
class Outcome:
    """What came of a session.

    Attributes:
        failed: What to say of runs whose command has failed, by their name.
        stopped_by: The signal that has stopped it.
        out_of_time: Whether its time was up.
    """

    failed: dict[str, str] = field(default_factory=dict)
    stopped_by: signal.Signals | None = None
    out_of_time: bool = False


@dataclass
class _Going:
    """A command that runs.

    Attributes:
        run: For which.
        words: Its words.
        place: Where.
        process: Its process.
        begun: When, by time.monotonic.
        log_size: Size of the log then.
    """

    run: StudyRun
    words: list[str]
    place: Place
    process: Process
    begun: float
    log_size: int


class Session:
    """Brings runs as far as their time allows.

    Args:
        runs: In the order in which they are begun; those that are done cost nothing.
        places: As many at a time.
        deadline: When to stop, by time.monotonic.
    """

    def __init__(self, runs: Sequence[StudyRun], places: Sequence[Place], deadline: float) -> None:
        self.runs, self.deadline, self.outcome = runs, deadline, Outcome()
        self._waiting = deque(run for run in runs if run.next_command() is not None)
        self._free, self._going = deque(places), list[_Going]()
        self._signals: list[int] = []
        self._begun = self._looked = time.monotonic()
        self._images_before = self._images()

    def __call__(self) -> Outcome:
        """Do it; returns when no process is left."""
        total = sum(round(1000 * run.total_kimg) for run in self.runs)
        settings: dict[str, Any] = {
            "initial": self._images_before,
            "bar_format": "{desc} {percentage:3.0f}%|{bar}| [{elapsed}]",
        }
        with _listening(self._hear), Progress("Study", total, **settings) as bar:
            bar.done = self._images_before
            try:
                while (self._waiting and not self._is_stopping) or self._going:
                    self._obey()
                    self._start()
                    self._look_at_processes()
                    self._show(bar)
                    time.sleep(POLL_SECONDS)
            finally:
                for going in self._going:  # an error of ours: none is left behind
                    going.process.kill()
        return self.outcome

    @property
    def _is_stopping(self) -> bool:
        return self.outcome.out_of_time or self.outcome.stopped_by is not None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)  # nothing else: this may be in the middle of anything

    def _obey(self) -> None:
        """Stop where a signal says so, or the time is up; the second signal does not wait for anything to be saved."""
        if self._signals and self.outcome.stopped_by is None:
            self.outcome.stopped_by = signal.Signals(self._signals[0])
            self._stop("Stopping: every run saves where it is. Once more to end them at once.")
        if len(self._signals) > 1:
            for going in self._going:
                going.process.kill()
        if not self._is_stopping and time.monotonic() >= self.deadline:
            self.outcome.out_of_time = True
            self._stop("The time is up: every run saves where it is.")

    def _stop(self, why: str) -> None:
        say(why)
        for going in self._going:
            going.process.terminate()

    def _start(self) -> None:
        while self._waiting and self._free and not self._is_stopping:
            self._begin(self._waiting.popleft(), self._free.popleft())

    def _begin(self, run: StudyRun, place: Place) -> None:
        words = run.next_command()
        assert words is not None, "a run that is done does not wait"
        log = run.folder / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        if words[0] == "fit":
            machines = [one for one in run.record().get("machines", []) if one != place.as_dict()]
            run.note(machines=[*machines, place.as_dict()])
        size = log.stat().st_size if log.is_file() else 0
        process = launch(words, log, place.variables)
        self._going.append(_Going(run, words, place, process, time.monotonic(), size))

    def _look_at_processes(self) -> None:
        for going in list(self._going):
            if (code := going.process.poll()) is not None:
                self._going.remove(going)
                self._free.append(going.place)
                self._end(going, code)

    def _end(self, going: _Going, code: int) -> None:
        run, verb, seconds = going.run, going.words[0], time.monotonic() - going.begun
        if verb == "fit":
            run.note(hours=run.record().get("hours", 0.0) + seconds / 3600)
        if code == 0:
            run.succeeded(verb)
        following = run.next_command()
        if code == 0 and following != going.words:
            say(f"{run.name}: {_DONE[verb]} in {in_words(seconds)}")
            if following is not None:
                self._waiting.appendleft(run)
        elif not (self._is_stopping and code in STOPPED):
            self.outcome.failed[run.name] = _failure(going, code)
            say(self.outcome.failed[run.name])

    def _images(self) -> int:
        return sum(round(1000 * run.kimg) for run in self.runs)

    def _show(self, bar: Progress) -> None:
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return
        self._looked = now
        done = sum(run.next_command() is None for run in self.runs)
        said, images = f"{done} of {len(self.runs)} runs done, {len(self._going)} going", self._images()
        if self._images_before < images < bar.total:
            left = (now - self._begun) * (bar.total - images) / (images - self._images_before)
            said += f", about {in_words(left)} left"
        bar.update(max(0, images - bar.done), said)


_DONE = {"fit": "trained", "evaluate": "scored", "neighbors": "nearest images found"}


def in_words(seconds: float) -> str:
    """A time, roughly."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def _failure(going: _Going, code: int) -> str:
    """What to say of a command that has failed, with the last lines that it printed."""
    log = going.run.folder / LOG
    printed = log.read_bytes()[going.log_size :].decode("utf-8", errors="replace")
    lines = [line for line in printed.replace("\r", "\n").split("\n") if line.strip()][-SHOWN_LINES:]
    how = f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
    return "\n  ".join([f"{going.run.name}: {going.words[0]} {how}. The last lines of {log}:", *lines])


@contextmanager
def _listening(hear: Any) -> Iterator[None]:
    """Hear Ctrl-C and SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
