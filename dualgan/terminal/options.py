"""Options that several commands share: seeds and device."""

import sys
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import overload

import torch

from dualgan.runtime.devices import best_device
from dualgan.runtime.seeding import SEEDS
from dualgan.terminal.console import is_rank_zero

_MOST_DIGITS = 100  # Python refuses to read numbers of thousands of digits
_MOST_LAYERS = 1000  # of a list that is written out


class Seeds(Sequence[int]):
    """Seeds in the order in which they were named; a range of any length takes no memory."""

    def __init__(self, ranges: Sequence[range]) -> None:
        self.ranges = ranges
        self._ends = list(accumulate(len(one) for one in ranges))

    def __len__(self) -> int:
        """Their number."""
        return self._ends[-1]

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        """A seed, or some."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        k = bisect_right(self._ends, index)
        return self.ranges[k][index - self._ends[k]]  # counted from the end of the range

    def __contains__(self, seed: object) -> bool:
        """Whether a seed is one of them."""
        return any(seed in one for one in self.ranges)


def parse_seeds(text: str, distinct: bool = True, name: str = "seeds") -> Seeds:
    """Read "0-63" or "1,5,10-12".

    Args:
        text: Numbers and ranges.
        distinct: Refuse seeds that are named twice.
        name: Of the option.

    Raises:
        ValueError: Anything else, an empty range, a seed of 2^63 or above, or one that is named twice.
    """
    ranges = _read_ranges(text, name, "0-63 or 1,5,10-12")
    largest = max(one.stop for one in ranges) - 1
    if largest >= SEEDS:
        raise ValueError(f"{name} {text!r}: {largest} is too large, expected 0 to 2^63 - 1")
    twice = [two.start for one, two in pairwise(sorted(ranges, key=lambda one: one.start)) if two.start < one.stop]
    if distinct and twice:
        raise ValueError(f"{name} {text!r} name {twice[0]} twice: each seed is one image, name it once")
    if sum(one.stop - one.start for one in ranges) > sys.maxsize:
        raise ValueError(f"{name} {text!r} are more than {sys.maxsize}: name fewer")
    return Seeds(ranges)


def parse_layers(text: str) -> list[int]:
    """Read layers such as "0-3" or "0,2,5-7".

    Raises:
        ValueError: Anything else, an empty range, a layer that is named twice, or more than a network can have.
    """
    ranges = _read_ranges(text, "layers", "0-3 or 0,2,5-7")
    most = max(one.stop for one in ranges) - 1
    if most >= _MOST_LAYERS:
        raise ValueError(f"layers {text!r}: there is no layer {most}, generators have {_MOST_LAYERS} at most")
    layers = [layer for one in ranges for layer in one]
    twice = [layer for k, layer in enumerate(layers) if layer in layers[:k]]
    if twice:
        raise ValueError(f"layers {text!r} name {twice[0]} twice: name each once")
    return layers


def _read_ranges(text: str, what: str, such_as: str) -> list[range]:
    """Numbers and ranges, separated by commas."""
    ranges: list[range] = []
    for item in text.split(","):
        first, dash, last = item.strip().partition("-")
        if not _is_number(first) or (dash and not _is_number(last)):
            raise ValueError(f"{what} {text!r}: expected numbers and ranges such as {such_as}")
        ranges.append(range(int(first), int(last if dash else first) + 1))
        if not ranges[-1]:
            raise ValueError(f"{what} {text!r}: {item.strip()} is an empty range, the first must not be above the last")
    return ranges


def check_cutoff(cutoff: int | None, psis: Sequence[float]) -> None:
    """Refuse a cutoff of no truncation.

    Raises:
        ValueError: There is one.
    """
    if cutoff is not None and all(psi == 1 for psi in psis):
        raise ValueError(f"truncation_cutoff {cutoff} has no effect without truncation_psi: give that too, such as 0.7")


def few_seeds(text: str, most: int, distinct: bool = True, name: str = "seeds") -> list[int]:
    """Read seeds of one figure.

    Raises:
        ValueError: As `parse_seeds`, or more than `most`.
    """
    seeds = parse_seeds(text, distinct, name)
    if len(seeds) > most:
        raise ValueError(f"{len(seeds)} {name}: a figure has room for {most}, draw several")
    return list(seeds)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def check_seed(seed: int, images: int = 1) -> None:
    """Refuse a first seed from which on some images would have none.

    Raises:
        ValueError: It is negative or too large.
    """
    if not 0 <= seed <= SEEDS - images:
        raise ValueError(f"seed {seed} is out of range: expected 0 to 2^63 - {images}")


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
