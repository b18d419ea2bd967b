"""Shipped configurations, found by name from any folder."""

import os
from difflib import get_close_matches
from pathlib import Path


def config_folders() -> list[Path]:
    """Where shipped configurations lie: in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    return [package / "configs", package.parent / "configs"]


def resolve_configs(words: list[str]) -> list[str]:
    """Let `--config NAME.yaml` find a shipped configuration from any folder, with or without its subfolder.

    Raises:
        ValueError: A named file is neither here nor shipped.
    """
    resolved = list(words)
    for i, word in enumerate(words):
        if word in ("--config", "-c") and i + 1 < len(words):
            resolved[i + 1] = find_config(words[i + 1])
        elif word.startswith("--config="):
            resolved[i] = "--config=" + find_config(word.removeprefix("--config="))
    return resolved


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
    sets = ", ".join(path.name for path in shipped_configs() if path.parent.name not in ("overlays", "trainer"))
    raise ValueError(f"no configuration {name!r}: it is neither a file nor one of the shipped {sets}, nor an overlay")
