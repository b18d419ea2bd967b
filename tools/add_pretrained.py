"""Make an entry of the networks that come with the package from a run: its file, its card and its picture.

python tools/add_pretrained.py RUN NAME --command "dualgan fit --config clevr_demo.yaml" --about "..." --machine "..."

The run must have been scored with `dualgan evaluate` (or by `dualgan study`). Nothing on the card is typed that a file
of the run says, and the command is compared with the settings that the run had.
"""

import argparse
import csv
import json
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from dualgan.cli.lightning import parse_fit
from dualgan.commands.export import export_safetensors
from dualgan.commands.shared.real_images import real_section
from dualgan.comparison.study.runs import RECORD, SCORES
from dualgan.files.atomic import file_sha256, read_json
from dualgan.metrics.table import all_metrics
from dualgan.networks.base import build_network
from dualgan.pictures.grids import save_png
from dualgan.runs.differences import differences, in_short
from dualgan.runs.folder import CHECKPOINTS, SPEED, SPEED_COLUMN
from dualgan.runs.reading import setting
from dualgan.studies.samples import sample_sheet
from dualgan.terminal.configs import resolve_configs
from dualgan.weights import pretrained
from dualgan.weights.checkpoints import load_generator, read_checkpoint
from dualgan.weights.pretrained import CARD, NETWORKS, PICTURE, Pretrained, pretrained_networks

BUDGET = 16_000_000  # bytes of all networks together
ROWS, COLUMNS = 4, 12  # of the picture
SAID_ELSEWHERE = ("seed",)  # of model and data: seed_everything is both
# Settings of a data set that depend on the machine.
OF_MACHINES = ("root", "cache_dir", "num_workers", "num_renderers")


@dataclass(frozen=True)
class Source:
    """What an entry is made from.

    Attributes:
        run: Folder of the run.
        file: The checkpoint.
        checkpoint: Its content.
        scores: What `dualgan evaluate` has written about it.
    """

    run: Path
    file: Path
    checkpoint: dict[str, Any]
    scores: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the run."""
        found: dict[str, Any] = self.checkpoint["run"]["config"]
        return found


def read_source(run: Path, which: str, scores: Path | None) -> Source:
    """Read the files of a run.

    Raises:
        ValueError: They are not there, or the scores are those of another checkpoint.
    """
    file = run / CHECKPOINTS / f"{which}.ckpt"
    checkpoint = read_checkpoint(file)
    places = [scores] if scores else [run / SCORES, run / "metrics.json"]
    found = next((one for one in map(read_json, places) if one), None)
    if found is None:
        named = " or ".join(map(str, places))
        raise ValueError(f"no scores at {named}: measure them with 'dualgan evaluate --ckpt {file}' first")
    if setting(found, "provenance", "checkpoint_sha256") != file_sha256(file):
        raise ValueError(f"the scores in {run} are not those of {file}: run 'dualgan evaluate --ckpt {file}' again")
    return Source(run, file, checkpoint, found)


def check_command(command: str, config: dict[str, Any]) -> None:
    """Refuse a command that would train with other settings than the run had.

    Raises:
        ValueError: It is no `dualgan fit`, or differs.
    """
    words = shlex.split(command)
    if words[:2] != ["dualgan", "fit"]:
        raise ValueError(f"command {command!r} trains nothing: expected 'dualgan fit ...'")
    parsed = parse_fit(resolve_configs(words[2:])).as_dict()
    now = json.loads(json.dumps(parsed, default=str))
    parts = ("model", "data", "seed_everything", "init_from")
    before, after = ({name: _without_machine(one.get(name)) for name in parts} for one in (config, now))
    if found := list(differences(before, after)):
        raise ValueError(f"command {command!r} does not repeat the run: {in_short(found)}")


def _without_machine(part: Any) -> Any:
    """A part of a configuration without what differs between machines; classes by their own name."""
    if isinstance(part, list):
        return [_without_machine(one) for one in part]
    if not isinstance(part, dict):
        return part
    kept = {name: _without_machine(value) for name, value in part.items() if name not in OF_MACHINES + SAID_ELSEWHERE}
    return kept | ({"class_path": part["class_path"].rpartition(".")[2]} if "class_path" in part else {})


def training(source: Source, machine: str | None) -> dict[str, Any]:
    """What the run was, from its own files; of a study's run also its hours and machines.

    Raises:
        ValueError: Nothing says on which machine it was.
    """
    record = read_json(source.run / RECORD) or {}
    machines = [one["device"] for one in record.get("machines", [])] or ([machine] if machine else [])
    if not machines:
        raise ValueError("machine is not known: only runs of 'dualgan study' write it down. Name it with --machine")
    ran = source.checkpoint["run"]
    described, model = source.checkpoint["dualgan"], source.config["model"]
    return {
        "networks": [_in_short(described[name]) for name in ("generator", "discriminator")],
        "loss": setting(model, "loss", "class_path").rpartition(".")[2],
        "images": ran["dataset_size"],
        "data_fingerprint": ran["dataset"],
        "kimg": int(source.checkpoint["state_dict"]["images_seen"]) / 1000,
        "hours": round(record.get("hours") or hours_of(source.run), 2),
        "machine": machines if len(machines) > 1 else machines[0],
        "seed": ran["seed"],
        **{name: ran[name] for name in ("precision", "threads", "dualgan_version", "torch_version")},
    }


def _in_short(description: dict[str, Any]) -> str:
    """A network in words, with its attention."""
    attention = setting(description, "init_args", "attention", "class_name")
    size = sum(p.numel() for p in build_network(description).parameters()) / 1e6
    return f"{description['class_name']}{f' with {attention}' if attention else ''}, {size:.2f} M parameters"


def hours_of(run: Path) -> float:
    """Hours of training alone, from the speed of its parts."""
    with (run / SPEED).open() as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    ends = [0.0, *(row["kimg"] for row in rows)]
    parts = ((row["kimg"] - before) * 1000 / row[SPEED_COLUMN] for row, before in zip(rows, ends, strict=False))
    return sum(parts) / 3600


def score_command(name: str, scores: dict[str, Any]) -> str:
    """The command that measures such numbers of the entry."""
    made = scores["provenance"]
    kinds = [
        number.kind
        for spec in all_metrics()
        for number in spec.numbers
        if any(fnmatch(value, pattern) for value in _numbers(scores) for pattern in number.reported_names)
    ]
    options = {
        key: made[key] for key in ("num_fake", "num_real", "truncation_psi", "seed") if made.get(key) is not None
    }
    said = " ".join(f"--{key} {value}" for key, value in options.items())
    return f"dualgan evaluate --ckpt {name} --metrics {' '.join(dict.fromkeys(kinds))} {said}"


def _numbers(scores: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if isinstance(value, float) and name != "kimg"}


def data_of(section: dict[str, Any]) -> dict[str, Any]:
    """The data section of a run, without what is the data set's own default or depends on the machine."""
    name, given = section["class_path"].rpartition(".")[2], section["init_args"]
    place = [f"--data.root={given['root']}"] if given.get("root") else []
    usual = real_section(name, None, given["resolution"], place)["init_args"]
    kept = {
        key: value
        for key, value in given.items()
        if key == "resolution" or (key not in OF_MACHINES and key != "batch_size" and usual.get(key) != value)
    }
    return {"class_path": name, "init_args": kept}


def make(source: Source, name: str, words: argparse.Namespace, folder: Path) -> Pretrained:
    """Write an entry into an empty folder."""
    entry = Pretrained(name, folder / f"{name}{NETWORKS}")
    content = source.checkpoint | {"source": str(source.file)}
    header = export_safetensors(content, entry.file, source.file, "players", words.dtype == "float16")
    save_png(sample_sheet(load_generator(entry.file), ROWS, COLUMNS), entry.picture)
    made = header["provenance"]
    scored = {key: value for key, value in source.scores["provenance"].items() if key not in ("checkpoint", "kimg")}
    card = {
        "about": words.about,
        "license": words.license,
        "training": training(source, words.machine),
        "commands": [words.command, score_command(name, source.scores)],
        "scores": _numbers(source.scores),
        "notes": source.scores["notes"],
        "scored": scored,
        "weights": {
            "sha256": file_sha256(entry.file),
            "dtype": made.get("dtype", "float32"),
            "difference": made.get("difference", 0.0),
        },
        "picture": {"rows": ROWS, "columns": COLUMNS, "first_seed": 0, "truncation_psi": 1.0},
        "data": data_of(source.config["data"]),
    }
    entry.card_file.write_text(yaml.safe_dump(card, sort_keys=False, width=100, allow_unicode=True), encoding="utf-8")
    entry.card()  # is whole
    return entry


def row(name: str, about: str) -> str:
    """A line of the table in docs/pretrained.md."""
    return f"| `{name}` | {about} |"


def check_name(name: str, overwrite: bool) -> None:
    """Refuse names that are no names, and those of other entries.

    Raises:
        ValueError: It is one of these.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"name {name!r} is none: expected small letters and digits with dashes, as in clevr32-san")
    if name in pretrained_networks() and not overwrite:
        raise ValueError(f"{name} is there already: choose another name, or replace it with --overwrite")


def check_budget(size: int, name: str) -> None:
    """Refuse what would make the package too large.

    Raises:
        ValueError: It would.
    """
    others = sum(one.file.stat().st_size for other, one in pretrained_networks().items() if other != name)
    if size + others > BUDGET:
        raise ValueError(
            f"{name} has {size / 1e6:.1f} MB and the others {others / 1e6:.1f}: together they may have "
            f"{BUDGET / 1e6:g} MB. Train a smaller network, or export it with --dtype float16"
        )


def options() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("name", help="name of the entry")
    parser.add_argument("--command", required=True, help="the 'dualgan fit ...' that repeats the run")
    parser.add_argument("--about", required=True, help="what it is, in one sentence")
    parser.add_argument("--machine", help="what trained it, where no study has written it down")
    parser.add_argument("--license", default="Apache-2.0", help="terms of the networks (default: %(default)s)")
    parser.add_argument("--which", default="last", choices=["last", "best"], help="checkpoint (default: %(default)s)")
    parser.add_argument("--scores", type=Path, help="file of 'dualgan evaluate' (default: those in the run's folder)")
    parser.add_argument("--dtype", default="float16", choices=["float16", "float32"], help="(default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace an entry of this name")
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Make an entry."""
    given = options().parse_args(words)
    check_name(given.name, given.overwrite)
    source = read_source(given.run, given.which, given.scores)
    check_command(given.command, source.config)
    with tempfile.TemporaryDirectory() as folder:
        entry = make(source, given.name, given, Path(folder))
        check_budget(entry.file.stat().st_size, given.name)
        pretrained.FOLDER.mkdir(exist_ok=True)
        for ending in (NETWORKS, PICTURE, CARD):
            shutil.copy(entry.file.with_suffix(ending), pretrained.FOLDER)
    print(f"Wrote {pretrained.FOLDER / given.name}{NETWORKS}, and beside it {CARD} and {PICTURE}: look at the picture.")
    print(f"The row of docs/pretrained.md:\n{row(entry.name, given.about)}")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"error: {error}")
