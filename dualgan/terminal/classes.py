"""The option that chooses a class."""

import difflib
from collections.abc import Sequence

_LISTED = 20  # classes in an error
_COMPARED = 10_000  # names that are searched for similar ones


def chosen_class(label: str | None, names: Sequence[str]) -> int | None:
    """The number of the class that a word means, or None where there is no word.

    It is a class's name, or its number from 0 on: but where names are numbers themselves, such as the labels of a
    dataset.json, every number is a name.

    Args:
        label: The word.
        names: Names of the generator's classes in the order of their numbers; empty without classes.

    Raises:
        ValueError: The generator has no such class.
    """
    if label is None:
        return None
    if not names:
        raise ValueError(f"label {label} was given, but this generator has no classes: leave it out")
    if label in names:
        return names.index(label)
    if not any(map(_is_number, names)) and _is_number(label) and int(label) < len(names):
        return int(label)
    close = difflib.get_close_matches(label, names[:_COMPARED], 3) if len(names) > _LISTED else []
    if names == [str(k) for k in range(len(names))]:
        known = f"the classes 0 to {len(names) - 1}"
    else:
        known = f"{len(names)} classes: " + ", ".join([*names[:_LISTED], *["..."] * (len(names) > _LISTED)])
    meant = f". Did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(f"label {label} is no class of this generator, which has {known}{meant}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
