"""YAML from elsewhere: plain data only, and no text that unfolds to more than a configuration could need."""

from collections.abc import Iterator
from typing import Any

import yaml

MAX_CHARACTERS = 2**20
MAX_VALUES = 100_000
MAX_DEPTH = 50
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str | bytes) -> Any:
    """Plain data of a YAML text; no tag in it makes an object.

    Raises:
        yaml.YAMLError: It is no YAML, or too large, too deep, or unfolds to too many values.
        UnicodeDecodeError: The bytes are no text.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    check_yaml(text)
    return yaml.load(text, Loader=_Loader)


def check_yaml(text: str) -> None:
    """Refuse a text that takes much more memory or time than its size suggests, before anything is built from it.

    Raises:
        yaml.YAMLError: It is too large, too deep, refers to itself, or its aliases unfold to too many values.
    """
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"{len(text):,} characters are more than the {MAX_CHARACTERS:,} that are read")
    sizes: dict[str | None, int] = {}  # values that each anchor stands for, its aliases unfolded
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor, and values before it
    total = 0
    for event in _events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
        if isinstance(event, yaml.NodeEvent):
            total += sizes.get(event.anchor, MAX_VALUES) if isinstance(event, yaml.AliasEvent) else 1
        if isinstance(event, yaml.ScalarEvent) and event.anchor:
            sizes[event.anchor] = 1
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - before
        if len(open_nodes) > MAX_DEPTH:
            raise yaml.YAMLError(_TOO_DEEP)
        if total > MAX_VALUES:
            raise yaml.YAMLError(f"it refers to itself, or unfolds to more than {MAX_VALUES:,} values")


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        # libyaml reads up to 1,024 characters ahead of its first event, and may meet a limit of its own there
        before = text[: error.problem_mark.index] if error.problem_mark else ""
        if sum(map(before.count, "[{")) - sum(map(before.count, "]}")) > MAX_DEPTH:
            raise yaml.YAMLError(_TOO_DEEP) from error
        raise


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by their dotted names; lists are leaves."""
    if not isinstance(value, dict) or not value:
        return {name: value}
    inner = ((f"{name}.{key}" if name else str(key), child) for key, child in value.items())
    return {path: leaf for key, child in inner for path, leaf in flatten(child, key).items()}
