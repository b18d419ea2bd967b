"""What loggers of a run get outside of the training step: scores, speed and pictures."""

from pathlib import Path

import numpy as np
from pytorch_lightning import Trainer

from dualgan.files.atomic import append_line, naming
from dualgan.runs.clock import plain_kimg
from dualgan.runs.folder import SPEED, SPEED_COLUMN, run_folder
from dualgan.runs.metrics_csv import MetricsFile
from dualgan.runs.tensorboard import EventsLogger
from dualgan.runs.wandb_logger import KimgWandbLogger


def log_scores(trainer: Trainer, values: dict[str, float], kimg: float) -> None:
    """Send values to every logger at once, whatever the logging interval."""
    for logger in trainer.loggers:
        logger.log_metrics({**values, "kimg": kimg}, step=trainer.global_step)
        logger.save()


def append_speed(run_dir: Path, kimg: float, images_per_second: float) -> None:
    """Add a row to speed.csv, in the order of time: a resumed run keeps those of earlier parts, whatever their kimg."""
    path = run_dir / SPEED
    header = "" if path.is_file() else f"kimg,{SPEED_COLUMN}\n"
    with naming(path):
        append_line(path, f"{header}{plain_kimg(kimg)},{images_per_second:.7g}")


def log_speed(trainer: Trainer, images_per_second: float, kimg: float) -> None:
    """Keep a speed in speed.csv and send it to the loggers, but not into metrics.csv: resumed runs would differ."""
    if trainer.is_global_zero:
        append_speed(run_folder(trainer), kimg, images_per_second)
    for logger in trainer.loggers:
        if not isinstance(logger, MetricsFile):
            logger.log_metrics({SPEED_COLUMN: images_per_second, "kimg": kimg}, step=trainer.global_step)


def log_picture(trainer: Trainer, key: str, picture: np.ndarray, kimg: float) -> None:
    """Show a picture [H, W, C] in W&B and TensorBoard, where they are on."""
    for logger in trainer.loggers:
        if isinstance(logger, KimgWandbLogger | EventsLogger):
            logger.log_picture(key, picture, kimg, trainer.global_step)
