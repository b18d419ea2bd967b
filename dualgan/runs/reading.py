"""What a run's folder holds, read so that a run still training, or one that was cut off, can be looked at too."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dualgan.files.yaml_text import load_yaml
from dualgan.runs.folder import CONFIG, HISTORY, METRICS, SPEED

Numbers = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Content:
    """The files of a run that are text.

    Attributes:
        rows: Of metrics.csv: numbers by column, for the columns that the row has.
        speed: Of speed.csv, in the same way; empty for runs of earlier versions.
        records: Of metrics.jsonl: scores, and under "provenance" where they come from.
        config: Of config.yaml; empty where there is none.
        problems: What could not be read, in sentences.
    """

    rows: Numbers = field(default_factory=list)
    speed: Numbers = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_folder(folder: Path) -> Content:
    """Read a run's folder; what is missing or damaged becomes one of its problems."""
    problems: list[str] = []
    if not (folder / METRICS).is_file():
        problems.append(f"{METRICS} is missing: no curves")
    return Content(
        rows=_read_csv(folder / METRICS, problems),
        speed=_read_csv(folder / SPEED, problems),
        records=_read_records(folder / HISTORY, problems),
        config=_read_config(folder / CONFIG, problems),
        problems=problems,
    )


def _whole_lines(path: Path) -> list[str]:
    """Lines that end: the last one of a file that is being written may hold half a number."""
    return path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1]


def _read_csv(path: Path, problems: list[str]) -> Numbers:
    if not path.is_file():
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
        problems.append(f"{path.name} has {damaged} damaged rows, which are left out")
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
        problems.append(f"{path.name} has {damaged} damaged lines, which are left out")
    return records


def _read_config(path: Path, problems: list[str]) -> dict[str, Any]:
    if not path.is_file():
        problems.append(f"{CONFIG} is missing: its settings are unknown")
        return {}
    try:
        config = load_yaml(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    if not isinstance(config, dict):
        problems.append(f"{CONFIG} is damaged: its settings are unknown")
        return {}
    return config
