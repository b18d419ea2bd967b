"""Runs as their folders show them, with names that tell them apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualgan.runs.folder import holds_run
from dualgan.runs.reading import Content, read_folder
from dualgan.runs.speed import SPEED_COLUMN

_AXES = ("kimg", "step", "epoch", "trainer/global_step")


@dataclass(frozen=True, kw_only=True)
class Run(Content):
    """A run as its folder shows it.

    Attributes:
        name: Name of the folder, with as many parents as tell it from the other runs.
        folder: The folder.
    """

    name: str
    folder: Path

    @property
    def images_per_second(self) -> float | None:
        """The last speed; None where the run has kept none."""
        return next((row[SPEED_COLUMN] for row in reversed(self.speed) if SPEED_COLUMN in row), None)

    def series(self, column: str) -> list[tuple[float, float]]:
        """Pairs (kimg, value) of a column, in the order of the file."""
        return [(row["kimg"], row[column]) for row in self.rows if column in row and "kimg" in row]

    @property
    def columns(self) -> list[str]:
        """Columns with at least one number, the axes left out."""
        return [name for name in dict.fromkeys(name for row in self.rows for name in row) if name not in _AXES]

    @property
    def kimg(self) -> float | None:
        """Thousands of images at the last row; None before the first."""
        return max((row["kimg"] for row in self.rows if "kimg" in row), default=None)

    @property
    def total_kimg(self) -> float | None:
        """Thousands of images that the run is meant to see; None where no configuration says so."""
        total = setting(self.config, "model", "total_kimg")
        return float(total) if isinstance(total, int | float) else None

    @property
    def scored(self) -> list[dict[str, Any]]:
        """Records of evaluations during training, whose scores are in metrics.csv too."""
        return [record for record in self.records if record.get("verb") == "fit"]

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the last score of the training comes from; empty where there is none."""
        found = self.scored[-1].get("provenance") if self.scored else None
        return found if isinstance(found, dict) else {}


def setting(config: Any, *keys: str) -> Any:
    """A value inside nested mappings; None where the way there ends."""
    for key in keys:
        if not isinstance(config, dict):
            return None
        config = config.get(key)
    return config


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


def read_run(folder: Path, name: str) -> Run:
    """Read one run's folder; what is missing or damaged becomes one of its problems."""
    return Run(name=name, folder=folder, **vars(read_folder(folder)))


def finite(values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The pairs whose value is a finite number."""
    return [(kimg, value) for kimg, value in values if math.isfinite(value)]
