"""What a form of the page holds, as settings: raw values of a browser, which may be missing or of any kind."""

from collections.abc import Mapping
from typing import Any

from dualgan.explore.settings import MOST_KEYFRAMES, MOST_STRENGTH, MOST_TRUNCATION, Settings, number, whole_number
from dualgan.terminal.options import few_seeds

DRAWN = "drawn by the seed"
"""The choice of no class."""


def read_settings(values: Mapping[str, Any], layers: int) -> Settings:
    """Settings from the values of a form by their names, those of `Settings`; what is left out stays as it is usual.

    Args:
        values: Numbers as int or float, `keyframes` as a text such as "0,5,9" or empty, `label` maybe `DRAWN`.
        layers: A cutoff at so many layers, or more, is none.

    Raises:
        ValueError: A value is missing, of another kind or out of range; the message names it.
    """
    read: dict[str, Any] = dict(values)
    for name in ("seed", "other_seed", "reference"):
        if name in read:
            read[name] = whole_number(name, read[name])
    if "truncation_psi" in read:
        read["truncation_psi"] = number("truncation_psi", read["truncation_psi"], -MOST_TRUNCATION, MOST_TRUNCATION)
    if "position" in read:
        read["position"] = number("position", read["position"], 0, 1)
    if read.get("label") == DRAWN:
        read["label"] = None
    if "cutoff" in read:
        cutoff = whole_number("cutoff", read["cutoff"])
        read["cutoff"] = None if cutoff >= layers else cutoff
    if "mixed" in read:
        read["mixed"] = tuple(whole_number("layer", layer) for layer in read["mixed"] or ())
    if "keyframes" in read:
        read["keyframes"] = read_keyframes(read["keyframes"])
    if "strengths" in read:
        strengths = [number("direction", value, -MOST_STRENGTH, MOST_STRENGTH) for value in read["strengths"]]
        read["strengths"] = tuple(strengths)
    return Settings(**read)


def read_keyframes(text: Any) -> tuple[int, ...]:
    """Seeds of a walk; none for an empty text.

    Raises:
        ValueError: It is no list of seeds, or too long.
    """
    words = str(text or "").strip()
    return tuple(few_seeds(words, MOST_KEYFRAMES, distinct=False)) if words else ()
