"""What a user sees on the screen: our own lines, and not the chatter of libraries."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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


@rank_zero_only
def say(text: str) -> None:
    """Print a line above the progress bars, on rank zero."""
    tqdm.write(text)


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
