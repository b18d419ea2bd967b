"""The runs of a study on the disk: which there are, how far each is, and what comes next."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualgan.comparison.study.definition import Score, Study, option_words
from dualgan.comparison.texts import alike, listed
from dualgan.files.atomic import read_json, write_json
from dualgan.runs.differences import differences, in_short
from dualgan.runs.folder import CHECKPOINTS, LAST, holds_run
from dualgan.runs.reading import kimg_reached, setting

RECORD, LOG, SCORES, NEAREST = "study.json", "study.log", "scores.json", "nearest.json"
WRITES = {"evaluate": (SCORES,), "neighbors": ("nearest.png", NEAREST)}

Parse = Callable[[list[str]], dict[str, Any]]
"""Settings of a training from words of the command line."""


@dataclass(frozen=True)
class StudyRun:
    """One training of a study, in a folder as `dualgan fit` makes it.

    The folder has RECORD besides, with the settings that the run was begun with, the hours and machines of its
    training and what has been measured; LOG with all that its processes have printed; SCORES and NEAREST.

    Attributes:
        row: Name of its row.
        seed: Its seed.
        folder: Its folder, named by both.
        words: Words for `fit` that hold for the whole row.
        settings: What these mean, as plain data.
        score: What is measured.
    """

    row: str
    seed: int
    folder: Path
    words: Sequence[str]
    settings: Mapping[str, Any]
    score: Score

    @property
    def name(self) -> str:
        """Row and seed."""
        return self.folder.name

    @property
    def kimg(self) -> float:
        """Thousands of images that it has seen, as far as its folder says; all of them where its training has ended."""
        return self.total_kimg if self.is_trained else kimg_reached(self.folder)

    @property
    def total_kimg(self) -> float:
        """Thousands of images that it is to see."""
        return float(setting(self.settings, "model", "total_kimg"))

    @property
    def is_trained(self) -> bool:
        """Whether its training has ended by itself."""
        return bool(self.record().get("trained"))

    @property
    def is_begun(self) -> bool:
        """Whether there is something to go on with."""
        return holds_run(self.folder)

    @property
    def how_far(self) -> str:
        """Its state in words."""
        if self.next_command() is None:
            return "done"
        if self.is_trained:
            return "to be scored"
        return f"{self.kimg:g} of {self.total_kimg:g} kimg" if self.is_begun else "to be begun"

    def record(self) -> dict[str, Any]:
        """What the study has written down about it; empty before it began, and when its training was removed."""
        found = read_json(self.folder / RECORD) if self.is_begun else None
        return found if isinstance(found, dict) else {}

    def note(self, **news: Any) -> None:
        """Write something down."""
        before = read_json(self.folder / RECORD) if self.is_begun else None
        write_json(self.folder / RECORD, {**(before or {}), "settings": self.settings, **news})

    def next_command(self) -> list[str] | None:
        """Words of the command that it needs next; None where nothing is left."""
        if not self.is_trained:
            place = ["--seed_everything", str(self.seed), "--run_dir", str(self.folder), "--ckpt_path", "auto"]
            return ["fit", *self.words, *place]
        ckpt, measured = self.folder / CHECKPOINTS / LAST, self._measured()
        for verb, words in self._measurements().items():
            if measured.get(verb) != words:
                return [verb, "--ckpt", str(ckpt), *words, "--out", str(self.folder / WRITES[verb][0])]
        return None

    def _measurements(self) -> dict[str, list[str]]:
        """What measures it: verbs with their words, without those that name its files."""
        found, score = {}, self.score
        if score.metrics:
            number = [] if score.num_fake is None else ["--num_fake", str(score.num_fake)]
            found["evaluate"] = ["--metrics", *score.metrics, *number, *option_words(score.options)]
        if score.neighbors:
            found["neighbors"] = ["--seeds", f"0-{score.neighbors - 1}", "--k", "1"]
        return found

    def _measured(self) -> dict[str, list[str]]:
        """What has measured it, where all that was written is still there."""
        found: dict[str, list[str]] = self.record().get("measured", {})
        return {verb: own for verb, own in found.items() if all(map(self._has, WRITES[verb]))}

    def _has(self, file: str) -> bool:
        return (self.folder / file).is_file()

    def succeeded(self, verb: str) -> None:
        """Write down that its next command, of this verb, has come to its end."""
        if verb == "fit":
            self.note(trained=True)
        else:
            self.note(measured={**self._measured(), verb: self._measurements()[verb]})

    def result(self) -> dict[str, Any] | None:
        """Its numbers and where they come from; None before all is measured."""
        if self.next_command() is not None:
            return None
        record = self.record()
        scores = (read_json(self.folder / SCORES) or {}) if self.score.metrics else {}
        numbers = {name: value for name, value in scores.items() if isinstance(value, float) and name != "kimg"}
        if self.score.neighbors:
            numbers |= _mean_distances(read_json(self.folder / NEAREST))
        return {
            "seed": self.seed,
            "kimg": scores.get("kimg") or kimg_reached(self.folder),
            "hours": round(float(record.get("hours", 0)), 4),
            **numbers,
            "notes": scores.get("notes", {}),
            "provenance": {"trained_on": record.get("machines", []), "scores": scores.get("provenance", {})},
        }


def _mean_distances(nearest: Any) -> dict[str, float]:
    """How far generated images are from the nearest training image on average: by name of the space."""
    return {
        f"nearest_{space}": statistics.mean(row["nearest"][0]["distance"] for row in found["neighbors"])
        for space, found in nearest["spaces"].items()
    }


def runs_of(study: Study, out: Path, parse: Parse) -> list[StudyRun]:
    """All runs of a study, seed by seed, so that a study that is stopped has every row; nothing is begun.

    Raises:
        ValueError: The settings of a row are none, or need more than one device.
    """
    rows = {name: (words, _settings(name, words, parse)) for name, words in _words_of_rows(study).items()}
    return [
        StudyRun(name, seed, out / f"{name}_seed{seed}", words, settings, study.score)
        for seed in study.seeds
        for name, (words, settings) in rows.items()
    ]


def _words_of_rows(study: Study) -> dict[str, list[str]]:
    found = {}
    for name in study.rows:
        try:
            found[name] = study.words(name)
        except ValueError as error:
            raise ValueError(f"{study.path}: rows.{name}: {error}") from error
    return found


def _settings(row: str, words: list[str], parse: Parse) -> dict[str, Any]:
    try:
        parsed = parse(words)
    except ValueError as error:
        raise ValueError(f"row {row!r}: {error}") from error
    settings: dict[str, Any] = json.loads(json.dumps(parsed, default=str))
    for name in ("devices", "num_nodes"):
        if (number := setting(settings, "trainer", name)) not in ("auto", "1", 1):
            raise ValueError(f"row {row!r}: trainer.{name} {number}: a study gives one device to each run")
    return {section: settings[section] for section in settings if section not in ("config", "run_dir", "ckpt_path")}


def check_unchanged(runs: Sequence[StudyRun], path: Path) -> None:
    """Refuse to go on with runs under other settings than they were begun with; all stay as they are.

    Raises:
        ValueError: There are such runs, or runs that no study has begun.
    """
    changed = {run.name: in_short(found) for run in runs if run.is_begun and (found := _changes(run))}
    if not changed:
        return
    said = "; ".join(
        f"{listed(names)} {'was' if len(names) == 1 else 'were'} begun otherwise ({text})"
        for text, names in alike(list(changed), list(changed.values())).items()
    )
    raise ValueError(
        f"{said}. Nothing was touched: undo the change in {path}, give the changed row another name or the study "
        f"another --out, or delete the folders of these runs in {runs[0].folder.parent} to begin them anew"
    )


def _changes(run: StudyRun) -> list[str]:
    before = run.record().get("settings")
    if not isinstance(before, dict):
        return ["by no study"]
    return list(differences(before, _known_to(before, run.settings)))


def _known_to(before: Any, now: Any) -> Any:
    """Settings without those that a later version of dualgan has added."""
    both = isinstance(before, dict) and isinstance(now, dict)
    return {name: _known_to(before[name], now[name]) for name in now if name in before} if both else now
