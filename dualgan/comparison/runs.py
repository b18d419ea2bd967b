"""Runs as their folders show them, with names that tell them apart."""

from collections.abc import Sequence
from pathlib import Path

from dualgan.runs.folder import holds_run
from dualgan.runs.reading import Run, read_run


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Read runs and name them.

    Raises:
        ValueError: A folder holds no run, or is given twice.
    """
    paths = [Path(folder) for folder in folders]
    for path in paths:
        _check(path)
    resolved = [path.resolve() for path in paths]
    for position, path in enumerate(resolved):
        if path in resolved[:position]:
            raise ValueError(f"run '{paths[position]}' is given twice: give each run once")
    return [read_run(path, name) for path, name in zip(paths, distinct_names(resolved), strict=True)]


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"no run at '{folder}': there is no such folder. Runs are folders such as runs/clevr_demo")
    if holds_run(folder):
        return
    inside = sorted(child.name for child in folder.iterdir() if child.is_dir() and holds_run(child))
    hint = f"; the folders {', '.join(inside[:3])} in it are: '{folder}/*'" if inside else ""
    raise ValueError(
        f"'{folder}' is no run: expected the config.yaml and metrics.csv that 'dualgan fit' writes into it{hint}"
    )


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell all of them apart."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names
