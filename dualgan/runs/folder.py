"""The folder of a run: its name, the names of its files, and the checkpoint to go on from."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualgan.files.targets import folder_to_write
from dualgan.terminal.console import is_rank_zero, say
from dualgan.weights.checkpoints import read_checkpoint
from dualgan.weights.pretrained import find_pretrained, known_names, networks_file, pretrained_networks

if TYPE_CHECKING:  # who only reads runs does not wait for Lightning
    from pytorch_lightning import Trainer

CONFIG, METRICS, HISTORY, SPEED = "config.yaml", "metrics.csv", "metrics.jsonl", "speed.csv"
SENT = "wandb.json"  # what the run's W&B run has got
EVENTS = "tensorboard"  # folder of TensorBoard's events
SPEED_COLUMN = "train/images_per_second"
CHECKPOINTS, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"
CONVOLUTIONS = "convolutions.yaml"
SAMPLES, REAL = "samples", "real.png"


def run_folder(trainer: "Trainer") -> Path:
    """The run's folder."""
    return Path(trainer.default_root_dir)


def default_run_dir(configs: list[Any] | None) -> Path:
    """The folder of a run's own config.yaml; for other configurations runs/NAME, or runs/NAME+NAME for several."""
    if not configs:
        return Path("runs") / "default"
    paths = [Path(str(config)) for config in configs]
    if is_of_run(paths[-1]):
        return paths[-1].parent
    return Path("runs") / "+".join(path.parent.name if is_of_run(path) else path.stem for path in paths)


def is_of_run(config: Path) -> bool:
    """Whether this is the configuration that a run has written down."""
    return config.name == CONFIG and holds_run(config.parent)


def holds_run(folder: Path) -> bool:
    """Whether a training has left numbers or a checkpoint in a folder; a configuration alone is no run yet."""
    return (folder / METRICS).exists() or any((folder / CHECKPOINTS).glob("*.ckpt"))


def last_of(place: str, files: str = "a .ckpt file") -> str:
    """The last checkpoint where a run's folder was given, and says so; anything else as it is.

    Args:
        place: A folder or something else, such as the name of a pretrained network.
        files: Which files could have been given too, for messages.

    Raises:
        ValueError: A folder without one.
    """
    folder = Path(place)
    if not folder.is_dir() or find_pretrained(place) is not None:
        return place
    last = next((path for path in (folder / CHECKPOINTS / LAST, folder / LAST) if path.is_file()), None)
    if last is None:
        raise ValueError(
            f"{place} is a folder without {CHECKPOINTS}/{LAST}: give the folder of a run that has saved a checkpoint, "
            f"or {files}{known_names(place)}"
        )
    other = ", and not the pretrained network of that name" if place in pretrained_networks() else ""
    say(f"Taking {last}, the last checkpoint of {place}{other}")
    return os.fspath(last)


def resolve_checkpoint(name: str | None, run_dir: Path) -> str | None:
    """Turn "last", "best", "auto" (last where there is one) and the folder of a run into files.

    Raises:
        ValueError: There is no such file, or it is damaged.
    """
    if name == "auto":
        name = "last" if (run_dir / CHECKPOINTS / LAST).exists() else None
    if name is None:
        return None
    path = run_dir / CHECKPOINTS / f"{name}.ckpt" if name in ("last", "best") else Path(networks_file(last_of(name)))
    if not path.exists():
        raise ValueError(
            f"no checkpoint at {path}: pass --ckpt_path FILE, or --run_dir with --ckpt_path last or best, of a run "
            f"that has saved one"
        )
    read_checkpoint(path)  # a damaged file is found before anything is built
    return os.fspath(path)


def refuse_to_overwrite(run_dir: Path, ckpt_path: str | None) -> None:
    """Never go on from a checkpoint over another run's files.

    Raises:
        ValueError: The folder holds a run, and what is being resumed is not in it; or it is a file, or cannot be
            written.
    """
    folder_to_write(run_dir, "run_dir")
    if not is_rank_zero() or not holds_run(run_dir):
        return
    if ckpt_path is not None and Path(ckpt_path).resolve().parent != (run_dir / CHECKPOINTS).resolve():
        raise ValueError(
            f"{run_dir} already holds a run, and {ckpt_path} is not one of its checkpoints: choose another --run_dir "
            f"to go on from that file, or put the file into {run_dir / CHECKPOINTS} if it is this run's"
        )
