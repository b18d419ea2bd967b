"""A study as its file says it: rows of settings, the seeds that each is trained with, and what is measured."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from dualgan.files.yaml_text import load_yaml
from dualgan.pictures.figures import MAX_ROWS
from dualgan.terminal.configs import config_folders, find_config

Options = Mapping[str, Any]
"""Options of a verb without their dashes, such as model.total_kimg, with their values."""

MAX_SEEDS = 2**32  # those of `fit`

_GIVEN = "is what the study itself gives to every run: leave it out"

OF_THE_STUDY = dict.fromkeys(("config", "run_dir", "ckpt_path", "seed_everything"), _GIVEN)
"""Options of `fit` that no file may give, and why: they are what tells the runs of a study apart."""

OF_THE_SCORE = {
    "ckpt": _GIVEN,
    "out": _GIVEN,
    "fake": "would measure other images than the run's: leave it out",
    "metrics": "has a place of its own: write score.metrics",
    "num_fake": "has a place of its own: write score.num_fake",
}
"""Options of `evaluate` that are not among the score's others, and why."""


@dataclass(frozen=True)
class Row:
    """One configuration, trained with every seed; laid over what all rows have in common.

    Attributes:
        configs: Configurations, shipped or files.
        options: Options of `dualgan fit`.
    """

    configs: tuple[str, ...] = ()
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """What is measured of a finished run.

    Attributes:
        metrics: Names for `dualgan evaluate`; none leaves it out.
        num_fake: Images to generate for them; None is the command's default.
        neighbors: Generated images whose nearest training image is looked for, 0 to 32.
        options: Other options of `dualgan evaluate`.
    """

    metrics: tuple[str, ...] = ()
    num_fake: int | None = None
    neighbors: int = 0
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A table of runs: every row with every seed.

    Attributes:
        path: The file.
        configs: Configurations that all rows begin with.
        options: Options of `dualgan fit` that all rows have unless they say otherwise.
        seeds: Each is a run of every row.
        rows: The rows by name.
        score: What is measured of a finished run.
    """

    path: Path
    rows: Mapping[str, Row]
    configs: tuple[str, ...] = ()
    options: Options = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    score: Score = Score()

    def words(self, row: str) -> list[str]:
        """Words of the command line that `fit` trains a row with, without seed and folder."""
        own = self.rows[row]
        configs = [self._place(name) for name in (*self.configs, *own.configs)]
        options = {"wandb.mode": "disabled", **dict(_leaves(self.options)), **dict(_leaves(own.options))}
        return [word for config in configs for word in ("--config", config)] + option_words(options)

    def _place(self, config: str) -> str:
        """A configuration beside the study's file, else in the current folder or shipped."""
        beside = self.path.parent / config
        return str(beside) if beside.is_file() else find_config(config)


def option_words(options: Options) -> list[str]:
    """Options as words of the command line."""
    return [f"--{name}={_as_word(value)}" for name, value in _leaves(options)]


def _leaves(options: Options, section: str = "") -> Iterator[tuple[str, Any]]:
    """Options by their dotted names; a class with its arguments is one."""
    for name, value in options.items():
        if isinstance(value, dict) and value and "class_path" not in value:
            yield from _leaves(value, f"{section}{name}.")
        else:
            yield f"{section}{name}", value


def _as_word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def study_folders() -> list[Path]:
    """Where shipped studies lie: in the wheel, or beside the package in a checkout."""
    installed, checkout = config_folders()
    return [installed.with_name("shipped_studies"), checkout.with_name("studies")]


def shipped_studies() -> dict[str, Path]:
    """All shipped studies by the name of their file."""
    return {path.name: path for folder in study_folders() for path in sorted(folder.glob("*.yaml"))}


def find_study(name: str) -> Path:
    """The file of a study, which is there or shipped under this name.

    Raises:
        ValueError: It is neither.
    """
    shipped = shipped_studies()
    if Path(name).is_file():
        return Path(name)
    parts = Path(name).parts
    if len(parts) == 1 + (parts[:1] == ("studies",)) and parts[-1] in shipped:
        return shipped[parts[-1]]
    close = get_close_matches(Path(name).name, shipped, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"shipped are {', '.join(shipped)}"
    raise ValueError(f"no study {name!r}: it is neither a file nor shipped; {hint}")


def read_study(path: Path) -> Study:
    """Read the file of a study.

    Raises:
        ValueError: It is no YAML, names a thing twice, or holds something that no study has.
    """
    try:
        content = load_yaml(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a study ({' '.join(str(error).split())})") from error
    try:
        return _study(path, content)
    except _MistakeError as mistake:
        raise ValueError(f"{path}: {mistake}") from mistake


class _MistakeError(ValueError):
    """Something in the file, named by where it stands in it."""


def _study(path: Path, content: Any) -> Study:
    given = _section(content, Study, "", leave_out=("path",))
    rows = {_name_of_row(name): _row(name, row) for name, row in _mapping(given.get("rows", {}), "rows").items()}
    lower = [name.lower() for name in rows]
    if alike := [name for name in rows if lower.count(name.lower()) > 1]:
        raise _MistakeError(f"rows: {alike[0]} and {alike[1]} would share a folder on some disks: rename one")
    if not rows:
        raise _MistakeError("rows: there is none: name one with its settings, such as 'ada: {configs: [ada.yaml]}'")
    seeds = _list(given.get("seeds", [0]), "seeds", int, "numbers such as [0, 1]")
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < MAX_SEEDS for seed in seeds):
        raise _MistakeError(f"seeds {seeds}: expected at least one, each once, from 0 to {MAX_SEEDS - 1}")
    score = _score(given.get("score", {}))
    options = _options(given, "options", OF_THE_STUDY)
    return Study(path, rows, _configs(given, "configs"), options, tuple(seeds), score)


def _name_of_row(name: Any) -> str:
    if not isinstance(name, str):
        raise _MistakeError(f"rows: {name!r} stands where the name of a row is expected: quote it")
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,99}", name, re.ASCII):
        raise _MistakeError(f"rows: {name!r} is no name of a folder: use letters, digits and . _ + -")
    return name


def _row(name: str, content: Any) -> Row:
    where = f"rows.{name}"
    given = _section({} if content is None else content, Row, where)
    return Row(_configs(given, f"{where}.configs"), _options(given, f"{where}.options", OF_THE_STUDY))


def _score(content: Any) -> Score:
    given = _section(content, Score, "score")
    metrics = _list(given.get("metrics", []), "score.metrics", str, "names such as [fid, kid]")
    numbers = {name: given[name] for name in ("num_fake", "neighbors") if given.get(name) is not None}
    for name, value in numbers.items():
        if type(value) is not int or value < 0:
            raise _MistakeError(f"score.{name} {value!r} is no number of images")
    if numbers.get("neighbors", 0) > MAX_ROWS:
        raise _MistakeError(f"score.neighbors {numbers['neighbors']} are more than a figure has room for: {MAX_ROWS}")
    return Score(tuple(metrics), options=_options(given, "score.options", OF_THE_SCORE), **numbers)


def _configs(given: Mapping[str, Any], where: str) -> tuple[str, ...]:
    return tuple(_list(given.get("configs", []), where, str, "names such as [lfw100.yaml]"))


def _options(given: Mapping[str, Any], where: str, taken: Mapping[str, str]) -> Options:
    """Options with values that a command line can give, each once, and none of those that are `taken`."""
    found, seen = _mapping(given.get("options", {}), where), set()
    for name, value in _leaves(found):
        if name in taken:
            raise _MistakeError(f"{where}: {name} {taken[name]}")
        if name in seen:
            raise _MistakeError(f"{where}: {name} stands there twice, with dots and as a section: keep one of them")
        seen.add(name)
        try:
            _as_word(value)
        except TypeError as error:
            raise _MistakeError(f"{where}.{name} {value} is no number, text or list: put it in quotes") from error
    return found


def _section(content: Any, kind: type, where: str, leave_out: Sequence[str] = ()) -> Mapping[str, Any]:
    """A mapping whose keys are attributes of a class."""
    found = _mapping(content, where or "a study")
    known = [one.name for one in fields(kind) if one.name not in leave_out]
    for name in found:
        if name not in known:
            close = get_close_matches(str(name), known, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(known)}"
            raise _MistakeError(f"unknown key {f'{where}.{name}'.lstrip('.')!r}: {hint}")
    return found


def _mapping(content: Any, where: str) -> Mapping[Any, Any]:
    if not isinstance(content, dict):
        raise _MistakeError(f"{where}: expected names with their values below, found {_shown(content)}")
    return content


def _list(content: Any, where: str, kind: type, example: str) -> list[Any]:
    if not isinstance(content, list) or not all(type(one) is kind for one in content):
        raise _MistakeError(f"{where}: expected a list of {example}, found {_shown(content)}")
    return content


def _shown(content: Any) -> str:
    return "nothing" if content is None else json.dumps(content, default=str)
