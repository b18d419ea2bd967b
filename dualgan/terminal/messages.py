"""What jsonargparse says about a mistake on the command line, in one paragraph that a user can act on."""

import inspect
import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader, set_parsing_settings

from dualgan.files.yaml_text import check_yaml, load_yaml

_TYPES = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text", "tuple": "a list"}
_SEE = "'--help' lists every option."

ALLOW = "DUALGAN_ALLOW_IMPORT"
_IMPORTABLE = ["dualgan", "pytorch_lightning", "lightning_fabric", "torch.distributed.algorithms.ddp_comm_hooks"]


_load = get_loader("yaml")


def _load_checked(text: str) -> Any:
    check_yaml(text)
    return _load(text)


def limit_configurations() -> None:
    """Bound what a configuration unfolds to, and which classes it may name.

    To name a class is to import its module, which runs its code: only those of `_IMPORTABLE` are known to be harmless.

    Raises:
        ValueError: $DUALGAN_ALLOW_IMPORT, the user's own addition, is no list of module names.
    """
    set_loader("yaml", _load_checked, exceptions=(yaml.YAMLError,))
    own = [name.strip() for name in os.environ.get(ALLOW, "").split(",") if name.strip()]
    try:
        set_parsing_settings(
            import_path_denylist=["*"],
            import_path_allowlist=[*_IMPORTABLE, *own],
            instantiate_subclass_spec_in_any=False,
        )
    except ValueError as error:
        raise ValueError(f"{ALLOW}={os.environ[ALLOW]!r} is no list of modules, such as my_losses,lab.nets") from error


class ParagraphParser(ArgumentParser):
    """Raises what `main` prints instead of printing pages of usage and leaving the process."""

    classes: Mapping[str, type] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        limit_configurations()
        super().__init__(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Complain about the words of the command line.

        Raises:
            ValueError: Always.
        """
        raise ValueError(explain(message, options_of(self), self.classes)) from ex


def class_names(base: type) -> list[str]:
    """Names of all classes that can be chosen where `base` is expected; a registry says which are no mere bases."""
    found = {child.__name__ for child in _below(base)}
    return sorted(found & set(getattr(base, "registry", found)))


def _below(base: type) -> list[type]:
    """All classes under `base`."""
    children: list[type] = base.__subclasses__()
    return [*children, *(deeper for child in children for deeper in _below(child))]


def _narrowed(base: type | None, message: str) -> type | None:
    """The class under `base` that the message says is made by what it expects; `base` where it names none."""
    made = re.search(r"Callable\[\[.*?\], ([\w.]+)\]", message)
    if base is None or made is None:
        return base
    return next((c for c in _below(base) if made[1] == f"{c.__module__}.{c.__name__}"), base)


def options_of(parser: ArgumentParser) -> list[str]:
    """Names of a parser's options without dashes, those of its verbs included."""
    names: list[str] = []
    for action in parser._actions:
        names += [option.lstrip("-") for option in action.option_strings if option.startswith("--")]
        if isinstance(action.choices, dict):
            verbs: dict[str, ArgumentParser] = action.choices
            names += [name for verb in verbs.values() for name in options_of(verb)]
    return names


def explain(message: str, options: Iterable[str] = (), classes: Mapping[str, type] | None = None) -> str:
    """Turn a message of jsonargparse into one paragraph.

    Args:
        message: What the parser says; what it does not recognise comes back on one line.
        options: Names of all options, for suggestions.
        classes: Base class of every option that takes a class name.
    """
    classes = classes or {}
    key = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    base = _narrowed(classes.get(key), message)
    if refused := re.search(r"Importing '([^']+)' is not allowed", message):
        return _refused_import(key, refused[1], base)
    if unknown := re.search(r"unrecognized arguments: (.*)", message):
        return _unknown_option(unknown[1].split()[0], options, classes)
    if unknown := re.search(r"does not accept option '([^']+)'", message):
        return _unknown_option(unknown[1], options, classes)
    if key and (unknown := re.search(r"Option '([^']+)' is not accepted", message)):
        return _unknown_option(f"{key}.{unknown[1]}", options, classes)
    if base and (given := re.search(r"import path or a subclass spec, but got (.*)", message)):
        return f"{key} {given[1]} is not valid: expected a single one of {', '.join(class_names(base))}"
    if key and (inner := _reason(message)):  # what the parser of a class has said, explained already
        return _within(key, inner)
    if missing := re.search(r"arguments? (?:are|is) required: ([\w., ]+)", message):
        names = [f"--{key}.{name}" if key else f"--{name}" for name in missing[1].split(", ")]
        return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing. {_SEE}"
    if (given := re.search(r"Expected a dot import path string: (\S+)", message)) and base:
        return f"{key} {given[1]!r} is unknown: expected one of {', '.join(class_names(base))}"
    if key and (given := re.search(r"(?:Got|Given) value: (.*)", message)):
        return f"{key} {given[1]!r} is not valid: expected {_expected(message)}. {_SEE}"
    if nested := re.fullmatch(
        r'Parser key "([^"]+)":\s+(.+)', message.strip()
    ):  # explained by a class's parser already
        return _within(nested[1], nested[2])
    return _reason(message) or " ".join(message.split())


def _refused_import(key: str, path: str, base: type | None) -> str:
    expected = f"one of {', '.join(class_names(base))}" if base else "a class of dualgan or Lightning"
    return (
        f"{key} {path!r} is not imported: expected {expected}. A configuration may not choose which code runs; if "
        f"{path.partition('.')[0]!r} is a module that you trust, set the environment variable "
        f"{ALLOW}={path.partition('.')[0]}"
    )


def _within(key: str, inner: str) -> str:
    """What the parser of a class has said, with the names that the user knows."""
    return f"{key}: {inner.replace('--', f'--{key}.').replace(f'--{key}.help', '--help')}"


def name_the_file(message: str, words: list[str]) -> str:
    """Put the configuration file that holds the mistake in front of an explained message about `words`."""
    named = re.search(r"[a-z_]+(?:(?:\.|: )[a-z_]+)*", message.removeprefix("unknown option '"))
    option = named[0].replace(": ", ".") if named else ""
    if any(word.split("=")[0].endswith(option) for word in words if word.startswith("--")):
        return message  # the command line says it, and has the last word
    for flag, file in pairwise(words):
        if flag in ("--config", "-c") and Path(file).is_file():
            content = _content_of(Path(file))
            if content is None or _holds(content, option.split(".")):
                return f"{file}: {message}"
    return message


def _content_of(file: Path) -> dict[Any, Any] | None:
    """A YAML file's mapping; None when it holds something else."""
    try:
        content = load_yaml(file.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    return content if isinstance(content, dict) else None


def _holds(content: Any, names: list[str]) -> bool:
    """Whether nested mappings have these keys, one below the other, maybe with others between them."""
    if not names:
        return True
    if not isinstance(content, dict):
        return False
    return any(_holds(value, names[1:] if key == names[0] else names) for key, value in content.items())


def _unknown_option(name: str, options: Iterable[str], classes: Mapping[str, type]) -> str:
    name = name.lstrip("-").split("=")[0]
    key, _, argument = name.rpartition(".")
    if key in classes and (owners := _owners(classes[key], argument)):
        return f"unknown option {name!r}: the chosen class has none; it is one of {', '.join(owners)} (--{key} NAME)"
    known = [*options, *(f"{key}.{argument}" for key, base in classes.items() for argument in _arguments(base))]
    close = get_close_matches(name, known, n=1, cutoff=0.75)
    hint = f"did you mean --{close[0]}?" if close else _SEE
    return f"unknown option {name!r}: {hint}"


def _owners(base: type, argument: str) -> list[str]:
    """Names of the classes that can be chosen where `base` is expected and take an argument."""
    with_it = {kind.__name__ for kind in _below(base) if argument in inspect.signature(kind).parameters}
    return [name for name in class_names(base) if name in with_it]


def _arguments(base: type) -> set[str]:
    """Arguments of a class and of all classes below it."""
    signatures = [inspect.signature(kind).parameters for kind in (base, *_below(base))]
    return {name for names in signatures for name in names if name not in ("args", "kwargs")}


def _expected(message: str) -> str:
    """The types a message lists, in words."""
    found: list[str] = []
    for text in re.findall(r"Expected an? (.+?)(?:\. Got value|\n|$)", message):
        if "NoneType" in text:
            continue
        if choices := re.search(r"Literal\[(.*)\]", text):
            found.append("one of " + choices[1].replace("'", ""))
        elif name := re.search(r"<class '([^']+)'>", text):
            found.append(_TYPES.get(name[1], f"a {name[1].rpartition('.')[2]}"))
        else:
            found.append(text)
    return " or ".join(dict.fromkeys(found)) or "another value"


def _reason(message: str) -> str | None:
    """The reason among a union's complaints that says more than that a value has another type."""
    reasons: list[str] = re.findall(r"^ *- (.+)$", message, flags=re.MULTILINE)
    return next((r for r in reasons if not re.match("Expected|Does not|Parser key", r)), None)
