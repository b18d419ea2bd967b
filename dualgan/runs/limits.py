"""What ends a training: how far a checkpoint has got on the way there, and which options lead further."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Timer

from dualgan.files.torch_files import read_tensors
from dualgan.runs.reading import setting

WITHOUT = {"max_steps": "-1", "max_time": "null"}
"""Lightning's own limits, which a run keeps in its configuration, and the values that lift them."""


@dataclass(frozen=True)
class Progress:
    """How far a training has got.

    Attributes:
        images: Real images shown.
        steps: Steps of training.
        seconds: Time spent in training, as Lightning's timer counts it; 0 where none has run.
    """

    images: int
    steps: int
    seconds: float

    @property
    def kimg(self) -> float:
        """Thousands of images."""
        return self.images / 1000


def progress_in(path: Path) -> Progress:
    """How far the training of a checkpoint of ours has got, from a small part of the file.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        return _progress_of(read_tensors(path, mmap=True))
    except Exception as error:  # torch and zip files have no common kind of error
        raise ValueError(
            f"{path} cannot be read as a checkpoint: go on from another one of its folder with --ckpt_path FILE, or "
            f"choose another --run_dir"
        ) from error


def _progress_of(checkpoint: Any) -> Progress:
    seconds = setting(checkpoint, "callbacks", "Timer", "time_elapsed", "train")
    return Progress(int(checkpoint["state_dict"]["images_seen"]), int(checkpoint["global_step"]), seconds or 0.0)


@dataclass(frozen=True)
class Limit:
    """What has ended a training, or does not let it begin.

    Attributes:
        text: Option and value, as "--model.total_kimg is 28".
        remedy: What to give instead.
        option: An option that does so.
    """

    text: str
    remedy: str
    option: str


def limits_reached(progress: Progress, config: dict[str, Any]) -> list[Limit]:
    """What leaves a training nothing to do.

    Args:
        progress: How far it has got.
        config: The configuration as plain data.
    """
    found = []
    total = setting(config, "model", "total_kimg")
    if isinstance(total, int | float) and progress.images >= round(1000 * total):
        longer = f"--model.total_kimg {2 * progress.kimg:g}"
        found.append(Limit(f"--model.total_kimg is {total:g}", f"--model.total_kimg above {progress.kimg:g}", longer))
    for name, value in _trainers_limits(progress, setting(config, "trainer")):
        lifted = f"--trainer.{name} {WITHOUT[name]}"
        found.append(Limit(f"--trainer.{name} is {value}", f"a larger --trainer.{name}", lifted))
    return found


def _trainers_limits(progress: Progress, trainer: Any) -> list[tuple[str, Any]]:
    """Names and values of those of Lightning's limits that are reached."""
    found: list[tuple[str, Any]] = []
    steps = setting(trainer, "max_steps")
    if isinstance(steps, int) and 0 <= steps <= progress.steps:
        found.append(("max_steps", steps))
    time = setting(trainer, "max_time")
    if time is not None and (seconds := Timer(time).time_remaining()) is not None and seconds <= progress.seconds:
        found.append(("max_time", time))
    return found


def without_limits(trainer: Trainer) -> str:
    """Options that lift what of Lightning's own limits has stopped a run: they are kept in its configuration."""
    reached = [
        0 <= trainer.max_steps <= trainer.global_step,
        any(_is_over(timer) for timer in trainer.callbacks if isinstance(timer, Timer)),  # type: ignore[attr-defined]
    ]
    return "".join(f" --trainer.{name} {WITHOUT[name]}" for name, over in zip(WITHOUT, reached, strict=True) if over)


def _is_over(timer: Timer) -> bool:
    seconds = timer.time_remaining()
    return seconds is not None and seconds <= 0
