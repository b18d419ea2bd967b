"""What a user sees on the screen: our own lines, and not the chatter of libraries."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lightning_utilities.core.rank_zero import rank_zero_only
from tqdm import tqdm

_CHATTY = ("pytorch_lightning", "lightning_fabric", "lightning_utilities", "lightning.pytorch", "lightning.fabric")

HARMLESS_WARNINGS = (
    ".*does not have many workers.*",  # small sets load fastest without any
    ".*isinstance\\(treespec, LeafSpec\\).*",  # Lightning with a newer torch
    "(?s).*(was deprecated in v4|JSONARGPARSE_DEPRECATION)",  # LightningCLI with a newer jsonargparse
    ".*callbacks used to create the checkpoint.*\\['Timer'\\].*",  # --trainer.max_time null lifts the limit of a run
    ".*in eval mode at the start of training.*",  # the averaged generator is never trained
)


def is_rank_zero() -> bool:
    """Whether this is the first process, also before there is a trainer."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def show_what_can_be_shown() -> None:
    """Let no character stop the program that prints it: what the terminal's encoding lacks is shown as \\uXXXX.

    Nor a stream that was closed before the program began: what is printed to it goes nowhere.
    """
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """A text for formats that take Unicode alone: bytes of a file's name that are none are shown as \\udcXX."""
    return text.encode("utf-8", errors="backslashreplace").decode()


def flush_output() -> bool:
    """Write out what was printed; whether somebody still reads it. Python would end with code 120 where not."""
    heard = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            heard = False
            with suppress(OSError, ValueError):  # its buffer is still full, and flushed once more at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return heard


def say(text: str) -> None:
    """Print a line above the progress bars, on rank zero; the program goes on where nobody reads it any more."""
    if is_rank_zero():  # the decorator of Lightning's tools fails before Lightning is imported
        with suppress(OSError):
            tqdm.write(text)


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Whatever fails in the block becomes a line on stderr: it comes after work that has succeeded."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        with suppress(OSError):
            print(f"warning: {what} failed ({reason}); all that comes before it is done and kept.", file=sys.stderr)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide Lightning's tips and notices, and warnings about what is meant to be so; its other warnings stay."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for harmless in HARMLESS_WARNINGS:
                warnings.filterwarnings("ignore", message=harmless)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Once(logging.Filter):
    """Lets every message through one time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message is new."""
        text = record.getMessage()
        new = text not in self.seen
        self.seen.add(text)
        return new
