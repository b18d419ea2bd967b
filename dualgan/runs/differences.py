"""In which settings two configurations differ, said as on the command line."""

import json
from collections.abc import Iterator
from typing import Any

NAMED = 3  # differences that a message names
LONGEST = 60  # characters of a value


def differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Sentences such as "model.loss was Hinge and is Wasserstein", in the order of `now`.

    A class is one difference, its arguments are not compared with those of another one; lists of as many classes are
    compared one by one. What one side does not have is null there.

    Args:
        before: A configuration as plain data, or a part of it.
        now: The other one.
        name: Name of the part.
    """
    if before == now:
        return
    if _are_classes(before) and _are_classes(now) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, name if len(now) == 1 else f"{name}[{number}]")
        return
    both = isinstance(before, dict) and isinstance(now, dict)
    if not both or before.get("class_path") != now.get("class_path"):
        yield f"{name} was {_shown(before)} and is {_shown(now)}"
        return
    for key in dict.fromkeys([*now, *before]):
        inner = name if key == "init_args" else f"{name}.{key}".lstrip(".")  # as the command line has it
        yield from differences(before.get(key), now.get(key), inner)


def in_short(found: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


def _are_classes(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "class_path" in one for one in value)


def _shown(value: Any) -> str:
    if value and _are_classes(value):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict) and "class_path" in value:
        return str(value["class_path"]).rpartition(".")[2]
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
