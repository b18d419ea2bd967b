"""Shipped configurations, found by name from any folder."""

import os
from collections.abc import Collection
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from dualgan.files.yaml_text import load_yaml


def config_folders() -> list[Path]:
    """Where shipped configurations lie: in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    return [package / "configs", package.parent / "configs"]


def resolve_configs(words: list[str], sections: Collection[str] = ()) -> list[str]:
    """Let `--config NAME.yaml` find a shipped configuration from any folder, with or without its subfolder.

    Args:
        words: Of the command line.
        sections: Names that stand for several settings in a configuration.

    Raises:
        ValueError: A named file is neither here nor shipped, is no YAML, holds nothing, or null for a section.
    """
    resolved = list(words)
    for i, word in enumerate(words):
        if word in ("--config", "-c") and i + 1 < len(words):
            resolved[i + 1] = _checked(find_config(words[i + 1]), sections)
        elif word.startswith("--config="):
            resolved[i] = "--config=" + _checked(find_config(word.removeprefix("--config=")), sections)
    return resolved


def replaced_parts(words: list[str]) -> list[str]:
    """Which networks and auxiliary losses of a `--config` a later one replaces by others, in sentences.

    An overlay such as g_san32.yaml after sngan.yaml may have been meant to add to the network that it replaces.

    Args:
        words: Of the command line, as `resolve_configs` returns them.
    """
    chosen: dict[str, tuple[str, str]] = {}
    sentences = []
    for path in _config_files(words):
        model = read_config(Path(path)).get("model")
        for part in ("generator", "discriminator", "auxiliary"):
            if not (name := _classes_of(model.get(part) if isinstance(model, dict) else None)):
                continue
            file = Path(path).name
            before, by = chosen.get(part, (name, file))
            if before != name:
                back = "; --model.auxiliary+ NAME adds one to them" if part == "auxiliary" else ""
                sentences.append(f"{file} puts {name} in the place of {before} of {by}{back}")
            chosen[part] = (name, file)
    return sentences


def _classes_of(setting: Any) -> str:
    """Names of the classes that a setting of a configuration chooses; empty for none."""
    if isinstance(setting, list):
        return " and ".join(filter(None, map(_classes_of, setting)))
    name = setting.get("class_path") if isinstance(setting, dict) else setting
    return name.rpartition(".")[2] if isinstance(name, str) else ""


def _config_files(words: list[str]) -> list[str]:
    named = [
        word.removeprefix("--config=") if word.startswith("--config=") else word
        for before, word in pairwise(["", *words])
        if before in ("--config", "-c") or word.startswith("--config=")
    ]
    return [config for config in named if "\n" not in config]  # a text is none


def _checked(config: str, sections: Collection[str]) -> str:
    if "\n" in config:  # the text itself
        return config
    content = read_config(Path(config))
    for name in sections:
        if name in content and not isinstance(content[name], dict | str):
            found = "null" if content[name] is None else f"a {type(content[name]).__name__}"
            raise ValueError(
                f"{config}: {name} is a section of settings, and {found} is none: leave it out for the defaults, or "
                f"name its settings below it"
            )
    return config


def read_config(path: Path) -> dict[str, Any]:
    """The content of a configuration, whose settings are not looked at.

    Raises:
        ValueError: It is no YAML, holds nothing, or no sections.
    """
    try:
        content = load_yaml(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a configuration ({' '.join(str(error).split())})") from error
    if content is None:
        raise ValueError(f"{path} is empty: a configuration has sections such as 'model:' and 'data:'")
    if isinstance(content, dict) and (odd := _key_that_is_no_name(content)) is not None:
        raise ValueError(f"{path}: {odd!r} stands where the name of a setting is expected: quote it, or mend it")
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} is not a configuration: expected sections such as 'model:' and 'data:', found a "
            f"{type(content).__name__}"
        )
    return content


def _key_that_is_no_name(content: Any) -> Any:
    """The first key in nested mappings that is no text; None where all are."""
    if not isinstance(content, dict):
        return None
    odd = next((key for key in content if not isinstance(key, str)), None)
    return odd if odd is not None else next(filter(None, map(_key_that_is_no_name, content.values())), None)


def shipped_configs() -> list[Path]:
    """All shipped configurations, those in subfolders included, in the order of their names; each name is unique."""
    found = {path.name: path for folder in reversed(config_folders()) for path in folder.rglob("*.yaml")}
    return [found[name] for name in sorted(found)]


def find_config(name: str) -> str:
    """Path of a configuration that is a file or shipped under this name.

    Raises:
        ValueError: It is neither.
    """
    if Path(name).is_file() or "\n" in name:
        return name
    parts = Path(name).parts
    wanted = parts[1:] if parts[:1] == ("configs",) else parts
    for path in shipped_configs():
        if path.parts[-len(wanted) :] == wanted:
            return os.fspath(path)
    known = [path.name for path in shipped_configs()]
    if close := get_close_matches(Path(name).name, known, n=1, cutoff=0.8):
        raise ValueError(f"no configuration {name!r}: it is neither a file nor shipped; did you mean {close[0]!r}?")
    sets = [path.name for path in shipped_configs() if path.parent.name not in ("overlays", "trainer", "backbones")]
    shown = ", ".join(name for name in sets if "_attn" not in name)  # these stand beside the sets of the same name
    raise ValueError(
        f"no configuration {name!r}: it is neither a file nor one of the shipped {shown}, nor an overlay or one of "
        f"another backbone"
    )
