"""Where a run's files go: one folder with config.yaml, metrics.csv, samples/ and checkpoints/; what loggers get."""

import re
from pathlib import Path

import numpy as np
from pytorch_lightning import Trainer

from dualgan.callbacks.wandb_run import KimgWandbLogger
from dualgan.pictures import to_pil


def run_folder(trainer: Trainer) -> Path:
    """The run's folder."""
    return Path(trainer.default_root_dir)


def at_clock(images_seen: int, suffix: str) -> str:
    """Name of a file that shows or holds the state at some time, such as kimg_00012.800.png."""
    return f"kimg_{images_seen / 1000:09.3f}{suffix}"


def clock_of(path: Path) -> int | None:
    """Images seen at the time that a file's name tells; None for other names."""
    found = re.fullmatch(r"kimg_(\d+)\.(\d{3})", path.stem)
    return int(found[1] + found[2]) if found else None


def log_scores(trainer: Trainer, values: dict[str, float], kimg: float) -> None:
    """Send values to every logger at once, whatever the logging interval."""
    for logger in trainer.loggers:
        logger.log_metrics({**values, "kimg": kimg}, step=trainer.global_step)
        logger.save()


def log_picture(trainer: Trainer, key: str, picture: np.ndarray, kimg: float) -> None:
    """Show a picture [H, W, C] in W&B, where it is on."""
    for logger in trainer.loggers:
        if isinstance(logger, KimgWandbLogger) and not logger.has(kimg, {key}):
            logger.log_image(key, [to_pil(picture)], step=trainer.global_step, caption=[f"{kimg:.1f} kimg"])
