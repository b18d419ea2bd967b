"""What a run's folder holds, read so that a run still training, or one that was cut off, can be looked at too."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dualgan.files.yaml_text import load_yaml
from dualgan.metrics.names import SECTION, names_until_0_1
from dualgan.runs.folder import CONFIG, HISTORY, METRICS, SPEED, SPEED_COLUMN

Numbers = list[dict[str, float]]
T = TypeVar("T")

_END = 8192  # bytes at the end of a file, in which its last row lies
_AXES = ("kimg", "step", "epoch", "trainer/global_step")


@dataclass(frozen=True)
class Run:
    """A run as its folder shows it.

    Attributes:
        name: Name of the run.
        folder: The folder.
        rows: Of metrics.csv: numbers by column, for the columns that the row has.
        records: Of metrics.jsonl: scores, and under "provenance" where they come from.
        config: config.yaml; empty where there is none.
        speed: Of speed.csv, like rows, in the order of time; empty for runs of earlier versions.
        problems: What could not be read, in sentences.
    """

    name: str
    folder: Path
    rows: Numbers = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    speed: Numbers = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

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

    def note_on(self, metric: str) -> str | None:
        """What to know of the last value of a metric, named without its section, that few images gave."""
        record: dict[str, Any] = next((record for record in reversed(self.scored) if metric in record), {})
        note = setting(record, "notes", metric)
        return note if isinstance(note, str) else None

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


def read_run(folder: Path, name: str) -> Run:
    """Read a run's folder; what is missing or damaged becomes one of its problems."""
    problems: list[str] = []
    rows = _read_csv(folder / METRICS, problems)
    if rows is None:
        problems.append(f"{METRICS} is missing: no curves")
    records = _read_records(folder / HISTORY, problems)
    config = read_config(folder / CONFIG, problems)
    rows, records = _named_as_today(rows or [], records, problems)
    return Run(name, folder, rows, records, config, _read_csv(folder / SPEED, problems) or [], problems)


def _named_as_today(
    rows: Numbers, records: list[dict[str, Any]], problems: list[str]
) -> tuple[Numbers, list[dict[str, Any]]]:
    """Give numbers of a training that stand under another network's published name their own."""
    names: dict[str, str] = {}
    for record in records:
        if record.get("verb") == "fit":
            names |= names_until_0_1(record, setting(record, "provenance", "extractor"))
    if not names:
        return rows, records
    problems.append(f"{' and '.join(names)} of an earlier version are shown as {' and '.join(names.values())}")
    columns = {SECTION + old: SECTION + new for old, new in names.items()}
    return [_renamed(row, columns) for row in rows], [
        _renamed(record, names) if record.get("verb") == "fit" else record for record in records
    ]


def _renamed(values: dict[str, T], names: dict[str, str]) -> dict[str, T]:
    return {names.get(name, name): value for name, value in values.items()}


def _whole_lines(path: Path) -> list[str]:
    """Lines that end: the last one of a file that is being written may hold half a number."""
    return path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1]


def _read_csv(path: Path, problems: list[str]) -> Numbers | None:
    if not path.is_file():
        return None
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


def read_config(path: Path, problems: list[str]) -> dict[str, Any]:
    """A configuration that a run has written down; empty where there is none, and then one more problem says why."""
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


def kimg_reached(folder: Path) -> float:
    """Thousands of images at the end of a run's files of numbers, of which little is read: cheap to ask often."""
    return max((_last_kimg(folder / name) for name in (METRICS, SPEED)), default=0.0)


def _last_kimg(path: Path) -> float:
    try:
        with path.open("rb") as file:
            columns = file.readline().decode().strip().split(",")
            file.seek(max(file.tell(), path.stat().st_size - _END))
            *_, last, _ = file.read().split(b"\n")  # what follows the last line's end is half a row
        return float(last.decode().split(",")[columns.index("kimg")])
    except (OSError, ValueError, IndexError):  # no file, or no whole row yet
        return 0.0
