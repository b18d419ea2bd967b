"""What stops a training from outside, said in one paragraph: what happened, what to do, where to go on."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from dualgan.files.trouble import OF_DISKS, behind, in_words, interrupt_behind, named_by
from dualgan.runs.folder import CHECKPOINTS, CONFIG, LAST
from dualgan.training.divergence import DivergenceError
from dualgan.weights.checkpoints import images_seen_in

LOCK = ".lock"
_SCORING = "a smaller --quality.batch_size or --data.batch_size"
_LESS_MEMORY = {
    "fit": "--model.micro_batch half of the images per device, which trains with the same batch in less memory, or a "
    "smaller --data.batch_size or --quality.batch_size",
    "validate": _SCORING,
    "test": _SCORING,
    "predict": "a smaller --predictions.batch_size",
}


class StoppedError(RuntimeError):
    """Something from outside has stopped a run; the message is for its user."""


class InterruptedVerbError(KeyboardInterrupt):
    """A signal has stopped a verb of the trainer at once.

    Args:
        stop: What came of the signal.
        advice: How to go on.
    """

    def __init__(self, stop: KeyboardInterrupt, advice: str) -> None:
        super().__init__(advice)
        self.exit_code, self.advice = int(getattr(stop, "exit_code", 130)), advice


@contextmanager
def explained(run_dir: Path, verb: str = "fit") -> Iterator[None]:
    """Turn what comes from outside into one message; mistakes in the program stay what they are.

    Args:
        run_dir: The run's folder.
        verb: What was being done: `fit`, `validate`, `test` or `predict`.

    Raises:
        StoppedError: In place of errors of the disk, the memory, the loader's processes and the data.
        KeyboardInterrupt: In place of what a library has made of one.
    """
    try:
        yield
    except Exception as error:
        if (stop := interrupt_behind(error)) is not None:
            raise stop from None
        message = explanation(error, verb)
        if message is None:
            raise
        raise StoppedError(f"{message} {how_to_go_on(run_dir, verb)}") from error


def explanation(error: Exception, verb: str = "fit") -> str | None:
    """What an error means for the user; None where it is no error from outside."""
    text = _text(error)
    if isinstance(error, DivergenceError):
        return f"{text}."
    # torch has no class of its own for the CPU's memory, nor for what CUDA says outside of torch's allocator
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or re.search("DefaultCPUAllocator|out of memory", text):
        return f"out of memory ({text.split('. ')[0]}): give {_LESS_MEMORY[verb]}."
    if "DataLoader worker (pid" in text:  # a RuntimeError too
        return (
            f"a process that loads data has ended ({text.rstrip('.')}): often the machine or the job has run out of "
            f"memory or of shared memory. Try a smaller --data.num_workers."
        )
    if isinstance(error, OSError) and named_by(error) is not None:
        return in_words(error)
    disk = next((cause for cause in behind(error) if isinstance(cause, OSError) and cause.errno in OF_DISKS), None)
    return None if disk is None else in_words(disk)


def _text(error: Exception) -> str:
    """The last paragraph of an error: one from a loader's process has the traceback of that process before it."""
    text = str(error).strip()
    if "Traceback (most recent call last)" in text:
        text = re.sub(r"^[\w.]+(Error|Exception|Timeout): ", "", text.split("\n")[-1])
    return " ".join(text.split()) or type(error).__name__


def how_to_go_on(run_dir: Path, verb: str = "fit") -> str:
    """Where the last state of a run is, or that a verb which trains nothing has lost nothing."""
    if verb != "fit":
        return f"The run itself is as it was: give the dualgan {verb} command again when that is mended."
    if not (run_dir / CHECKPOINTS / LAST).is_file():
        return f"No checkpoint has been saved in {run_dir} yet: the same command starts anew."
    return f"Go on from the last checkpoint with: {fit_again(run_dir)}"


def fit_again(run_dir: Path, ckpt_path: str | None = None) -> str:
    """The command that goes on with a run, from its last checkpoint or from another one."""
    if ckpt_path is None or Path(ckpt_path) == run_dir / CHECKPOINTS / LAST:
        ckpt_path = "last"
    return f"dualgan fit --config {shlex.quote(str(run_dir / CONFIG))} --ckpt_path {shlex.quote(ckpt_path)}"


@contextmanager
def working_in(run_dir: Path, verb: str) -> Iterator[None]:
    """Work in a run's folder, in a training alone; who interrupts it hears how to go on.

    Raises:
        InterruptedVerbError: In place of an interrupt, whatever Lightning has made of it.
        ValueError: Another process trains there.
    """
    with alone_in(run_dir) if verb == "fit" else nullcontext():
        try:
            yield
        except BaseException as error:
            stop = interrupt_behind(error)
            if stop is None:
                raise
            raise InterruptedVerbError(stop, _advice(run_dir, verb)) from None


def _advice(run_dir: Path, verb: str) -> str:
    if verb != "fit":
        return "The run itself is as it was."
    images = images_seen_in(run_dir / CHECKPOINTS / LAST)
    saved = "" if images is None else f"The last checkpoint is of {images / 1000:g} kimg. "
    return saved + how_to_go_on(run_dir)


@contextmanager
def alone_in(run_dir: Path) -> Iterator[None]:
    """Keep other trainings out of a run's folder; the system lifts the lock when the process ends, however it ends.

    A folder that is made here, and in which nothing comes to be, is removed in the end.

    Raises:
        ValueError: Another process trains there.
    """
    made = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{run_dir} cannot be made ({error.strerror}): choose another --run_dir") from error
    lock = FileLock(run_dir / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ValueError(
            f"another process is training in {run_dir} right now: wait for its end, or choose another --run_dir"
        ) from error
    try:
        yield
    finally:
        if [path.name for path in run_dir.glob("*")] == [LOCK]:
            with suppress(OSError):  # a system that keeps open files
                (run_dir / LOCK).unlink()  # while it is held: nobody else's
        lock.release()
        for folder in made:
            with suppress(OSError):  # something is in it
                folder.rmdir()
