"""checkpoints/last.ckpt and checkpoints/best.ckpt."""

import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from dualgan.callbacks.clock import check_interval, crossed
from dualgan.callbacks.console import say
from dualgan.callbacks.quality import Quality
from dualgan.callbacks.run import RunCSVLogger, run_folder
from dualgan.disk import naming
from dualgan.gan import GAN


class RunCheckpoint(Checkpoint):
    """Saves the last state at intervals and at the end, and the best one by Frechet distance.

    Files are written under another name and then renamed: a kill leaves the previous checkpoint whole.

    Args:
        every_kimg: Thousands of images between saves of last.ckpt.
    """

    def __init__(self, every_kimg: float = 50.0) -> None:
        self.every_kimg = check_interval(every_kimg, "checkpoints")
        self.best: float | None = None
        self._due: list[str] = []
        self._clock_at_start: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score of a resumed run back."""
        self.best = state_dict["best"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the values that are logged again until their next turn: penalties come at intervals."""
        assert isinstance(pl_module, GAN)
        checkpoint["latest"] = {name: value.item() for name, value in pl_module.latest_over_ranks().items()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take them back, so that a resumed run logs what the uninterrupted one does."""
        assert isinstance(pl_module, GAN)
        latest = checkpoint.get("latest", {}).items()
        pl_module.latest = {name: torch.tensor(value, device=pl_module.device) for name, value in latest}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop logged rows that a resumed run will write again."""
        assert isinstance(pl_module, GAN)
        for logger in trainer.loggers:
            if isinstance(logger, RunCSVLogger):
                logger.drop_after(pl_module.clock / 1000)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save what the last step made due: now it is logged, and all of Lightning's counters have moved."""
        assert isinstance(pl_module, GAN)
        self._save_due(trainer)
        self._clock_at_start = pl_module.clock
        # The step that rows are logged under: Lightning counts one too many after resuming between two epochs' ends.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note what is due."""
        assert isinstance(pl_module, GAN)
        if self._is_new_best(trainer, pl_module):
            self._due.append("best.ckpt")
        if crossed(pl_module, batch, self.every_kimg):
            self._due.append("last.ckpt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last state."""
        self._due.append("last.ckpt")
        self._save_due(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep the work so far, unless a step was cut in half, other ranks may be gone or the user is in a hurry."""
        assert isinstance(pl_module, GAN)
        step_is_whole = self._clock_at_start is not None and pl_module.clock > self._clock_at_start
        if trainer.training and trainer.world_size == 1 and step_is_whole and isinstance(exception, Exception):
            try:
                self._save(trainer, "last.ckpt")
            except OSError as error:  # perhaps the same that has stopped the run, which is what the user must hear of
                say(f"The state of this moment could not be saved ({error}).")

    def _is_new_best(self, trainer: Trainer, gan: GAN) -> bool:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Quality) and callback.history and callback.history[-1][0] == gan.clock / 1000:
                value = callback.history[-1][1][callback.main_metric]
                if self.best is None or value < self.best:
                    self.best = value
                    return True
        return False

    def _save_due(self, trainer: Trainer) -> None:
        due, self._due = self._due, []
        for name in dict.fromkeys(due):
            self._save(trainer, name)

    def _save(self, trainer: Trainer, name: str) -> None:
        for logger in trainer.loggers:
            logger.save()  # a killed run must find the rows up to its checkpoint
        path = run_folder(trainer) / "checkpoints" / name
        partial = path.with_suffix(".partial")
        try:
            with naming(path):
                trainer.save_checkpoint(partial, weights_only=False)  # False: with the optimizers
                if trainer.is_global_zero:
                    replace_durably(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)  # a full disk needs the room
            raise
        trainer.strategy.barrier()


def replace_durably(partial: Path, path: Path) -> None:
    """Give a finished file its name once its bytes are on the disk."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
