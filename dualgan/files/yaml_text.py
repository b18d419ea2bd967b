"""YAML from elsewhere: plain data only, and no text that unfolds to more than a configuration could need."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

MAX_CHARACTERS = 2**20
MAX_VALUES = 100_000
MAX_DEPTH = 50
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ODD_BYTES = re.compile(r"\\[uU][dD][89a-fA-F]")  # escapes of bytes in names of files that are no text


def holds_odd_bytes(text: str) -> bool:
    """Whether a text quotes a name with bytes that are no text, as YAML and JSON write them and libyaml reads none."""
    return _ODD_BYTES.search(text) is not None


def loader_for(text: str) -> Any:
    """The fastest loader of plain data that reads a text."""
    return yaml.SafeLoader if holds_odd_bytes(text) else _Loader


def load_yaml(text: str | bytes) -> Any:
    """Plain data of a YAML text; no tag in it makes an object.

    Raises:
        yaml.YAMLError: It is no YAML, has a key twice, or is too large, too deep, or unfolds to too many values.
        UnicodeDecodeError: The bytes are no text.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    check_yaml(text)
    return yaml.load(text, Loader=loader_for(text))


def check_yaml(text: str) -> None:
    """Refuse, before anything is built from it, a text that says a thing twice, of which YAML takes the last silently.

    Refuse too what takes much more memory or time than its size suggests.

    Raises:
        yaml.YAMLError: It has two equal keys in a mapping, is too large, too deep, refers to itself, or its aliases
            unfold to too many values.
    """
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"{len(text):,} characters are more than the {MAX_CHARACTERS:,} that are read")
    sizes: dict[str | None, int] = {}  # values that each anchor stands for, its aliases unfolded
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor, and values before it
    total = 0
    keys = _Keys()
    for event in _events(text):
        keys.follow(event)
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


class _Keys:
    """Follows the keys of mappings, and refuses one that is there already."""

    def __init__(self) -> None:
        # of every open collection: the lines of its keys, None for a sequence; and whether a key comes next
        self._open: list[tuple[dict[tuple[str, str], int] | None, bool]] = [(None, False)]

    def follow(self, event: yaml.Event) -> None:
        """Take the next event.

        Raises:
            yaml.YAMLError: It is a key that its mapping has already.
        """
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.NodeEvent):
            lines, is_key = self._open[-1]
            if lines is not None and is_key and isinstance(event, yaml.ScalarEvent):
                self._add(lines, event)
            self._open[-1] = lines, not is_key
            if isinstance(event, yaml.CollectionStartEvent):
                self._open.append(({}, True) if isinstance(event, yaml.MappingStartEvent) else (None, False))

    @staticmethod
    def _add(lines: dict[tuple[str, str], int], event: yaml.ScalarEvent) -> None:
        # 1 and "1" are different keys
        resolve: Callable[..., str] = yaml.resolver.Resolver().resolve
        tag = event.tag or resolve(yaml.ScalarNode, event.value, event.implicit)
        assert event.start_mark is not None, "a text that is parsed has places"
        line = event.start_mark.line + 1
        if (tag, event.value) in lines:
            first = lines[tag, event.value]
            where = f"in lines {first} and {line}" if first != line else f"both in line {line}"
            raise yaml.YAMLError(f"{event.value!r} stands twice in one section, {where}: keep one of them")
        lines[tag, event.value] = line


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=loader_for(text))
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
