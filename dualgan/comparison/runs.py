"""What a run's folder holds, read so that a run still training, or one that was cut off, can be looked at too."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dualgan.files.yaml_text import load_yaml
from dualgan.runs.wandb_file import last_logged

_AXES = ("kimg", "step", "epoch", "trainer/global_step")
SPEED = "train/images_per_second"


@dataclass(frozen=True)
class Run:
    """A run as its folder shows it.

    Attributes:
        name: Name of the folder, with as many parents as tell it from the other runs.
        folder: The folder.
        rows: Rows of metrics.csv: numbers by column, for the columns that the row has.
        records: Records of metrics.jsonl: scores, and under "provenance" where they come from.
        config: config.yaml; empty where there is none.
        images_per_second: The last speed in W&B's file; None where none was logged.
        problems: What could not be read, in sentences.
    """

    name: str
    folder: Path
    rows: list[dict[str, float]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    images_per_second: float | None = None
    problems: list[str] = field(default_factory=list)

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
    if _holds_run(folder):
        return
    inside = sorted(child.name for child in folder.iterdir() if child.is_dir() and _holds_run(child))
    hint = f"; the folders {', '.join(inside[:3])} in it are: '{folder}/*'" if inside else ""
    raise ValueError(
        f"'{folder}' is no run: expected the config.yaml and metrics.csv that 'dualgan fit' writes into it{hint}"
    )


def _holds_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.yaml", "metrics.csv"))


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell all of them apart."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


def read_run(folder: Path, name: str) -> Run:
    """Read one run's folder; what is missing or damaged becomes one of its problems."""
    problems: list[str] = []
    return Run(
        name=name,
        folder=folder,
        rows=_read_csv(folder / "metrics.csv", problems),
        records=_read_records(folder / "metrics.jsonl", problems),
        config=_read_config(folder / "config.yaml", problems),
        images_per_second=last_logged(folder / "wandb", SPEED),
        problems=problems,
    )


def _whole_lines(path: Path) -> list[str]:
    """Lines that end: the last one of a file that is being written may hold half a number."""
    return path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1]


def _read_csv(path: Path, problems: list[str]) -> list[dict[str, float]]:
    if not path.is_file():
        problems.append("metrics.csv is missing: no curves")
        return []
    rows, damaged = [], 0
    try:
        for row in csv.DictReader(_whole_lines(path)):
            try:
                rows.append({name: float(value) for name, value in row.items() if value not in ("", None)})
            except (TypeError, ValueError):  # more values than columns, or no number
                damaged += 1
    except csv.Error:  # a value of more than 128 KB: the reader does not find its way back
        damaged += 1
    if damaged:
        problems.append(f"metrics.csv has {damaged} damaged rows, which are left out")
    return rows


def _read_records(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    records, damaged = [], 0
    for line in _whole_lines(path):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # nested thousands deep
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            damaged += 1
    if damaged:
        problems.append(f"metrics.jsonl has {damaged} damaged lines, which are left out")
    return records


def _read_config(path: Path, problems: list[str]) -> dict[str, Any]:
    if not path.is_file():
        problems.append("config.yaml is missing: its settings are unknown")
        return {}
    try:
        config = load_yaml(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    if not isinstance(config, dict):
        problems.append("config.yaml is damaged: its settings are unknown")
        return {}
    return config


def finite(values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The pairs whose value is a finite number."""
    return [(kimg, value) for kimg, value in values if math.isfinite(value)]
