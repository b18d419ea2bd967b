"""checkpoints/last.ckpt and checkpoints/best.ckpt, and a Ctrl-C that loses nothing."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from dualgan.callbacks.clock import check_interval, crossed
from dualgan.callbacks.quality import Quality
from dualgan.callbacks.run import RunCSVLogger, run_folder
from dualgan.gan import GAN


class RunCheckpoint(Checkpoint):
    """Saves the last state at intervals, at the end and on Ctrl-C, and the best one by Frechet distance.

    Files are written under another name and then renamed: a kill leaves the previous checkpoint whole.

    Args:
        every_kimg: Thousands of images between saves of last.ckpt.
    """

    def __init__(self, every_kimg: float = 50.0) -> None:
        self.every_kimg = check_interval(every_kimg, "checkpoints")
        self.best: float | None = None
        self.interrupted = False
        self._clock_at_start = 0
        self._old_handler: Any = None

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score of a resumed run back."""
        self.best = state_dict["best"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to Ctrl-C; drop logged rows that a resumed run will write again."""
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGINT, lambda number, frame: self._interrupt(trainer, frame))
        for logger in trainer.loggers:
            if isinstance(logger, RunCSVLogger):
                logger.drop_after(trainer.global_step)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember where the step began."""
        assert isinstance(pl_module, GAN)
        self._clock_at_start = pl_module.clock

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save what is due."""
        assert isinstance(pl_module, GAN)
        if self._is_new_best(trainer, pl_module):
            self._save(trainer, "best.ckpt")
        if crossed(pl_module, batch, self.every_kimg):
            self._save(trainer, "last.ckpt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last state."""
        self._save(trainer, "last.ckpt")
        self._restore_handler()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep the work done so far, unless a step was cut in half or other ranks may be gone."""
        self._restore_handler()
        assert isinstance(pl_module, GAN)
        if trainer.training and trainer.world_size == 1 and pl_module.clock > self._clock_at_start:
            self._save(trainer, "last.ckpt")

    def _is_new_best(self, trainer: Trainer, gan: GAN) -> bool:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Quality) and callback.history and callback.history[-1][0] == gan.clock / 1000:
                value = callback.history[-1][1][callback.main_metric]
                if self.best is None or value < self.best:
                    self.best = value
                    return True
        return False

    def _save(self, trainer: Trainer, name: str) -> None:
        path = run_folder(trainer) / "checkpoints" / name
        partial = path.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            replace_durably(partial, path)
        trainer.strategy.barrier()

    def _interrupt(self, trainer: Trainer, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        trainer.should_stop = True
        print("\nCtrl-C: finishing this step, then saving and stopping. Once more to stop at once.", flush=True)

    def _restore_handler(self) -> None:
        if self._old_handler is not None:
            signal.signal(signal.SIGINT, self._old_handler)
            self._old_handler = None


def replace_durably(partial: Path, path: Path) -> None:
    """Give a finished file its name once its bytes are on the disk."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
