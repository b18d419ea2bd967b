"""A callback that keeps what a kill would have left behind."""

import shutil
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Snapshot(Callback):
    """Copies the run's folder in the middle of training, after the first checkpoint and some more steps.

    Args:
        out: Where to.
        step: When.
    """

    def __init__(self, out: str, step: int = 8) -> None:
        self.out, self.step = Path(out), step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Copy once."""
        if trainer.global_step == self.step:
            shutil.copytree(trainer.default_root_dir, self.out)
