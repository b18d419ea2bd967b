"""Values and lists of runs in words."""

import json
from collections.abc import Sequence
from typing import Any

MISSING = "—"


def as_text(value: Any) -> str:
    """A leaf as YAML would show it; whole numbers look the same with and without a fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def listed(names: Sequence[str]) -> str:
    """Names as "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def alike(names: Sequence[str], texts: Sequence[str]) -> dict[str, list[str]]:
    """Names by their text, so that what holds for several is said once: text -> names."""
    found: dict[str, list[str]] = {}
    for name, text in zip(names, texts, strict=True):
        found.setdefault(text, []).append(name)
    return found


def each(names: Sequence[str], texts: Sequence[str]) -> str:
    """Names with their texts, such as "a and b 28; c 5."."""
    return "; ".join(f"{listed(own)} {text}" for text, own in alike(names, texts).items()) + "."
