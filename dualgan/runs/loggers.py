"""What loggers of a run get outside of the training step: scores, speed and pictures."""

import numpy as np
from pytorch_lightning import Trainer

from dualgan.runs.folder import run_folder
from dualgan.runs.metrics_csv import MetricsFile
from dualgan.runs.speed import SPEED_COLUMN, append_speed
from dualgan.runs.wandb_logger import KimgWandbLogger


def log_scores(trainer: Trainer, values: dict[str, float], kimg: float) -> None:
    """Send values to every logger at once, whatever the logging interval."""
    for logger in trainer.loggers:
        logger.log_metrics({**values, "kimg": kimg}, step=trainer.global_step)
        logger.save()


def log_speed(trainer: Trainer, images_per_second: float, kimg: float) -> None:
    """Keep a speed in speed.csv and send it to the loggers, but for metrics.csv."""
    if trainer.is_global_zero:
        append_speed(run_folder(trainer), kimg, images_per_second)
    for logger in trainer.loggers:
        if not isinstance(logger, MetricsFile):
            logger.log_metrics({SPEED_COLUMN: images_per_second, "kimg": kimg}, step=trainer.global_step)


def log_picture(trainer: Trainer, key: str, picture: np.ndarray, kimg: float) -> None:
    """Show a picture [H, W, C] in W&B, where it is on."""
    for logger in trainer.loggers:
        if isinstance(logger, KimgWandbLogger):
            logger.log_picture(key, picture, kimg, trainer.global_step)
