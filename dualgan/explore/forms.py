"""What a form of the page holds, as settings: raw values of a browser, which may be missing or of any kind."""

import math
from collections.abc import Mapping
from typing import Any

from dualgan.explore.settings import (
    MOST_KEYFRAMES,
    MOST_STRENGTH,
    MOST_TRUNCATION,
    Settings,
    check_walk,
    number,
    whole_number,
)
from dualgan.terminal.options import parse_seeds

DRAWN = "drawn by the seed"
"""The choice of no class."""
EXACT = 2**53
"""Browsers round whole numbers from here on: another seed than the one that was typed would be drawn."""
_LONGEST = 21 * MOST_KEYFRAMES  # characters that as many seeds take, with commas and spaces


def read_settings(values: Mapping[str, Any], layers: int) -> Settings:
    """Settings from the values of a form by their names, those of `Settings`; what is left out stays as it is usual.

    Args:
        values: Numbers as int or float, `keyframes` as a text such as "0,5,9" or empty, `label` maybe `DRAWN`.
        layers: Of the network; a cutoff at all of them is none.

    Raises:
        ValueError: A value is missing, of another kind or out of range; the message names it.
    """
    read: dict[str, Any] = dict(values)
    for name, said in (("seed", "seed"), ("other_seed", "second_seed"), ("reference", "reference")):
        if name in read:
            read[name] = _exact(said, read[name])
    if "truncation_psi" in read:
        read["truncation_psi"] = number("truncation_psi", read["truncation_psi"], -MOST_TRUNCATION, MOST_TRUNCATION)
    if "position" in read:
        read["position"] = number("position", read["position"], 0, 1)
    if read.get("label") == DRAWN:
        read["label"] = None
    if "cutoff" in read:
        cutoff = number("truncated_layers", read["cutoff"], 0, max(layers, 1))
        read["cutoff"] = None if cutoff >= layers else whole_number("truncated_layers", cutoff)
    if "mixed" in read:
        read["mixed"] = tuple(whole_number("layer", layer) for layer in read["mixed"] or ())
    if "keyframes" in read:
        read["keyframes"] = read_keyframes(read["keyframes"])
    if "strengths" in read:
        strengths = [number("direction", value, -MOST_STRENGTH, MOST_STRENGTH) for value in read["strengths"]]
        read["strengths"] = tuple(strengths)
    return Settings(**read)


def _exact(name: str, value: Any) -> int:
    if isinstance(value, int | float) and EXACT <= value < math.inf:
        raise ValueError(
            f"{name.replace('_', ' ')} {int(value)} is too large for this field, which rounds from 2^53 on: "
            f"dualgan generate --seeds takes seeds up to 2^63 - 1, and so do the keyframes of a walk"
        )
    return whole_number(name, value)


def read_keyframes(text: Any) -> tuple[int, ...]:
    """Seeds of a walk; none for an empty text.

    Raises:
        ValueError: It is no list of seeds, or too few or many of them.
    """
    words = str(text or "").strip()
    if len(words) > _LONGEST:
        raise ValueError(f"keyframes of {len(words)} characters: a walk leads through 2 to {MOST_KEYFRAMES} seeds")
    if not words:
        return ()
    seeds = parse_seeds(words, distinct=False, name="keyframes")
    check_walk(len(seeds))  # before they are counted out
    return tuple(seeds)
