"""What loggers of a run get outside of the training step: scores and pictures."""

import numpy as np
from pytorch_lightning import Trainer

from dualgan.pictures.grids import to_pil
from dualgan.runs.wandb_logger import KimgWandbLogger


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
