"""Options that several commands share: seeds and device."""

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from dualgan.runtime.devices import best_device
from dualgan.terminal.console import is_rank_zero


def parse_seeds(text: str) -> list[int]:
    """Read "0-63" or "1,5,10-12".

    Raises:
        ValueError: Anything else.
    """
    seeds: list[int] = []
    for item in text.split(","):
        first, dash, last = item.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"seeds {text!r}: expected numbers and ranges such as 0-63 or 1,5,10-12")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds:
        raise ValueError(f"seeds {text!r} is an empty range: the first seed must not be above the last")
    return seeds


@cache
def automatic_device() -> str:
    """The best device of this machine; says the first time which it is."""
    choice = best_device()
    if is_rank_zero():
        print(choice.reason, file=sys.stderr)
    return choice.device


def find_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU where there is one that works, which is said.

    Raises:
        ValueError: There is no such device.
    """
    if name == "auto":
        name = automatic_device()
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(
            f"device {name!r} is not available here: expected auto, cpu, cuda, cuda:1, mps, ..."
        ) from error


def run_names(checkpoints: Sequence[str]) -> list[str]:
    """A short name for every checkpoint: its run's, with the file's own where two would be the same.

    Raises:
        ValueError: The same file was given twice.
    """
    paths = [Path(checkpoint).resolve() for checkpoint in checkpoints]
    twice = [given for k, given in enumerate(checkpoints) if paths[k] in paths[:k]]
    if twice:
        raise ValueError(f"checkpoint {twice[0]} was given twice: give each once")
    runs = [path.parent.parent.name if path.parent.name == "checkpoints" else path.stem for path in paths]
    full = [f"{run}/{path.stem}" for run, path in zip(runs, paths, strict=True)]
    for names in (runs, full):
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
