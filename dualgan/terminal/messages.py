"""What jsonargparse says about a mistake on the command line, in one paragraph that a user can act on.

Its English is passed through. What is added hangs on its exceptions, on the names it quotes, and on what the parser
knows: its options, the classes that can be chosen, and what the parser of a class has said about the class's options.
"""

import inspect
import os
import re
import traceback
from argparse import SUPPRESS
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader, set_parsing_settings

from dualgan.files.yaml_text import check_yaml, holds_odd_bytes, load_yaml
from dualgan.runtime.imports import ALLOW, trusted_modules
from dualgan.runtime.private_parts import actions_of

_SEE = "'--help' lists every option."
_OF_THE_DATA = ("num_classes", "num_channels", "resolution")  # arguments of networks that are no options
_NETWORKS = ("model.generator", "model.discriminator")
_MOST_HINTS = 4
_NO_NUMBER = re.compile(r"(element \d+: )?Expected a float\. (Got|Given) value: (?P<value>.*)")
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}

_IMPORTABLE = ["dualgan", "pytorch_lightning", "lightning_fabric", "torch.distributed.algorithms.ddp_comm_hooks"]


_load = get_loader("yaml")


def _load_checked(text: str) -> Any:
    if not text.isascii() and text != text.encode("utf-8", errors="replace").decode():
        return text  # the name of a file with bytes that are no text, and no YAML
    check_yaml(text)
    return load_yaml(text) if holds_odd_bytes(text) else _load(text)


def limit_configurations() -> None:
    """Bound what a configuration unfolds to, and which classes it may name.

    To name a class is to import its module, which runs its code: only those of `_IMPORTABLE` are known to be harmless.

    Raises:
        ValueError: $DUALGAN_ALLOW_IMPORT, the user's own addition, is no list of module names.
    """
    set_loader("yaml", _load_checked, exceptions=(yaml.YAMLError,))
    own = trusted_modules()
    try:
        set_parsing_settings(
            import_path_denylist=["*"],
            import_path_allowlist=[*_IMPORTABLE, *own],
            instantiate_subclass_spec_in_any=False,
        )
    except ValueError as error:
        raise ValueError(f"{ALLOW}={os.environ[ALLOW]!r} is no list of modules, such as my_losses,lab.nets") from error


class MistakeError(ValueError):
    """A mistake in the words of a command line or in a configuration.

    Attributes:
        option: Name of the option that it is about; empty where that is not known.
        unknown: Whether there is no such option.
    """

    def __init__(self, message: str, option: str = "", unknown: bool = False) -> None:
        super().__init__(message)
        self.option, self.unknown = option, unknown


class ParagraphParser(ArgumentParser):
    """Raises what `main` prints instead of printing pages of usage and leaving the process.

    Attributes:
        classes: Base class of every option that takes a class name.
    """

    classes: Mapping[str, type] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        limit_configurations()
        super().__init__(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Complain about the words of the command line.

        Raises:
            MistakeError: Always.
        """
        raise self.mistake(message, ex) from ex

    def mistake(self, message: str, ex: Exception | None) -> MistakeError:
        """What a message of jsonargparse means, with the exception behind it."""
        options = options_of(self)
        key = next((name for name in re.findall(r'"([\w.]+)"', message) if name in options), "")
        base = _narrowed(self.classes.get(key), message)
        if "import_path_allowlist" in message:  # the setting that would allow it
            return MistakeError(_refused_import(key, message, base), key)
        if isinstance(ex, KeyError) and (names := re.findall(r"'([\w.]+)'", message)):
            return _unknown(names[-1], options)
        if ex is None and (words := [word for word in message.split() if word.startswith("--")]):
            return _unknown(words[0].lstrip("-").partition("=")[0], options)
        if key and (inner := _said_within(ex)):
            return self._within(key, inner)
        if base and (value := _value(message)).rpartition(".")[2] not in class_names(base):
            one = "a single one" if value.startswith("[") else "a number or one" if "'float'" in message else "one"
            return MistakeError(f"{key} {value!r} is not valid: expected {one} of {', '.join(class_names(base))}", key)
        if key and (given := re.search(r'Unable to load config "(.*?)"', message)):
            return MistakeError(
                f"{key} {given[1]!r}: {key} is a section of several settings, and this is no file of them. Give "
                f"them one by one, as --{key}.NAME VALUE. {_SEE}",
                key,
            )
        if (
            key
            and "Expected a <class 'list'>" in message
            and (given := re.search(r"Given value: (\w+)$", message.strip()))
        ):
            return MistakeError(f"{key} {given[1]!r} is not a list: --{key}+ {given[1]} adds to it. {_SEE}", key)
        if key:
            reason = cleaned(message.partition(f'"{key}"')[2].lstrip(": \n"))
            if number := _NO_NUMBER.fullmatch(reason):
                return MistakeError(self._not_finite(key, number["value"]), key)
            return MistakeError(f"{key}: {_in_words(reason)}. {_SEE}", key)
        start, _, end = cleaned(message).rpartition(": ")
        if isinstance(ex, TypeError) and set(end.split(", ")) <= set(options):  # a list of missing ones
            return MistakeError(f"{start}: --{end.replace(', ', ', --')}. {_SEE}")
        return MistakeError(cleaned(message))

    def _not_finite(self, key: str, value: str) -> str:
        """What an option of numbers takes, in the words of its help."""
        action = next(action for action in actions_of(self) if f"--{key}" in action.option_strings)
        usual = action.default[0] if isinstance(action.default, list) and action.default else action.default
        such_as = f" such as {usual:g}" if isinstance(usual, int | float) else ""
        about = " ".join((action.help or "").split()).rstrip(".")
        meaning = f". What --{key} is: {about}" if about and about != SUPPRESS else ""
        return f"{key} {value!r} is not valid: expected a finite number{such_as}{meaning}. {_SEE}"

    def _within(self, key: str, inner: MistakeError) -> MistakeError:
        """What the parser of a class has said, with the names that the user knows."""
        name = f"{key}.{inner.option}".rstrip(".")
        text = str(inner).replace("--", f"--{key}.").replace(f"--{key}.help", "--help")
        if not inner.unknown:
            return MistakeError(f"{key}: {text}", name)
        if key in _NETWORKS and inner.option in _OF_THE_DATA:
            text = (
                f"unknown option {name!r}: networks take it from the data (--data.resolution; their classes with "
                f"--data.use_labels true)"
            )
        elif key in self.classes and (owners := _owners(self.classes[key], inner.option)):
            text = (
                f"unknown option {name!r}: the chosen class has none; it is one of {', '.join(owners)} (--{key} NAME)"
            )
        return MistakeError(text.replace(repr(inner.option), repr(name)), name, unknown=True)


def _unknown(name: str, options: Sequence[str]) -> MistakeError:
    close = _nearest(name, options)
    hint = f"did you mean {' or '.join(f'--{option}' for option in close)}?" if close else _SEE
    return MistakeError(f"unknown option {name!r}: {hint}", name, unknown=True)


def _nearest(name: str, options: Sequence[str]) -> list[str]:
    """Options that the user may have meant: spelled alike, or with the given name as a part; none where many have."""
    # num for num_fake, psi for truncation_psi, quality.num for quality.num_fake, num_fake for quality.num_fake
    section, _, last = name.rpartition(".")
    within = [option for option in dict.fromkeys(options) if option.rpartition(".")[0].endswith(section)]
    longer = [option for option in within if option.rpartition(".")[2].startswith(last)]
    if 0 < len(longer) <= _MOST_HINTS:
        return longer
    if close := get_close_matches(name, options, n=1, cutoff=0.75):
        return close
    parts = [option for option in within if f"_{last}" in option.rpartition(".")[2]]
    return parts if len(parts) <= _MOST_HINTS else []


def options_of(parser: ArgumentParser) -> list[str]:
    """Names of a parser's options without dashes, those of its verbs included."""
    names: list[str] = []
    for action in actions_of(parser):
        names += [option.lstrip("-") for option in action.option_strings if option.startswith("--")]
        if isinstance(action.choices, dict):
            verbs: dict[str, ArgumentParser] = action.choices
            names += [name for verb in verbs.values() for name in options_of(verb)]
    return names


def class_names(base: type) -> list[str]:
    """Names of all classes that can be chosen where `base` is expected; a registry says which are no mere bases."""
    found = {child.__name__ for child in _below(base) if not inspect.isabstract(child)}
    return sorted(found & set(getattr(base, "registry", found)))


def _below(base: type) -> list[type]:
    """All classes under `base`."""
    children: list[type] = base.__subclasses__()
    return [*children, *(deeper for child in children for deeper in _below(child))]


def _narrowed(base: type | None, message: str) -> type | None:
    """The narrower base that a message names in full, as the type that it expects; `base` where it names none."""
    if base is None:
        return None
    bases = [child for child in _below(base) if child.__subclasses__()]
    return next((child for child in bases if f"{child.__module__}.{child.__name__}" in message), base)


def _owners(base: type, argument: str) -> list[str]:
    """Names of the classes that can be chosen where `base` is expected and take an argument."""
    with_it = {kind.__name__ for kind in _below(base) if argument in inspect.signature(kind).parameters}
    return [name for name in class_names(base) if name in with_it]


def _refused_import(key: str, message: str, base: type | None) -> str:
    line = next(line for line in message.split("\n") if "import_path_allowlist" in line)
    path = next(iter(re.findall(r"'([\w.]+)'", line)), "a class")
    module = path.partition(".")[0]
    expected = f"one of {', '.join(class_names(base))}" if base else "a class of dualgan or Lightning"
    return (
        f"{key} {path!r} is not imported: expected {expected}. A configuration may not choose which code runs; if "
        f"{module!r} is a module that you trust, set the environment variable {ALLOW}={module}"
    )


def _value(message: str) -> str:
    """The value at the end of a message; of a class with its arguments the class."""
    value = message.strip().split("\n")[-1].partition(": ")[2]
    path = re.search(r"class_path\W+([\w.]+)", value)
    return path[1] if path else value.rpartition("Got value: ")[2]


def _said_within(error: BaseException | None) -> MistakeError | None:
    """What the parser of a class has said, where that is behind an error."""
    while error is not None:
        if isinstance(error, MistakeError) and "\n" not in str(error):  # jsonargparse makes others, with its frame
            return error
        error = error.__cause__
    return None


def explain(error: BaseException) -> str:
    """One paragraph about an error that building classes has raised: that of the class itself, where there is one."""
    while error.__cause__ is not None and _raised_by_jsonargparse(error):
        error = error.__cause__
    return cleaned(str(error))


def _raised_by_jsonargparse(error: BaseException) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__")).startswith("jsonargparse.")


def cleaned(message: str) -> str:
    """A message on one line, without the frame around the reasons why a value is of none of several types."""
    lines = [line.strip() for line in message.split("\n") if line.strip()]
    reasons = [line.removeprefix("- ") for line in lines[:-1] if line.startswith("- ") and "NoneType" not in line]
    text = f"{' or '.join(reasons)}. {lines[-1]}" if reasons else " ".join(lines)
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text).replace("typing.", "")


def _in_words(reason: str) -> str:
    """A reason without Python's names of types."""
    expected, mark, value = reason.partition(" value: ")
    expected = re.sub(r"\ba Literal\[(.*?)\]", lambda one: "one of " + one[1].replace("'", ""), expected)
    expected = re.sub(rf"\ba ({'|'.join(_KINDS)})\b", lambda one: _KINDS[one[1]], expected)
    return expected.replace(" or Expected ", " or ") + mark + value


def name_the_file(mistake: MistakeError, words: Sequence[str]) -> str:
    """Put the configuration file that holds a mistake in front of its message, where one of `words` names that file."""
    option = mistake.option
    if option and any(word.split("=")[0].endswith(option) for word in words if word.startswith("--")):
        return str(mistake)  # the command line says it, and has the last word
    spread = [part for word in words for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    for flag, file in reversed(list(pairwise(spread))):  # the last one has the last word
        if flag in ("--config", "-c") and Path(file).is_file():
            try:
                content = load_yaml(Path(file).read_bytes())
            except (yaml.YAMLError, UnicodeDecodeError):
                content = None
            if not isinstance(content, dict) or (option and _holds(content, option.split("."))):
                return f"{file}: {mistake}"
    return str(mistake)


def _holds(content: Any, names: list[str]) -> bool:
    """Whether nested mappings have these keys, one below the other, maybe with others between them."""
    if not names:
        return True
    if not isinstance(content, dict):
        return False
    return any(_holds(value, names[1:] if key == names[0] else names) for key, value in content.items())
