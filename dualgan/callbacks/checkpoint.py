"""checkpoints/last.ckpt and checkpoints/best.ckpt."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from dualgan.callbacks.clock import aside, check_interval, crossed
from dualgan.callbacks.length import jumps
from dualgan.callbacks.provenance import conditions, warn_if_changed
from dualgan.callbacks.quality import Quality
from dualgan.files.atomic import naming
from dualgan.files.trouble import in_words, interrupt_behind
from dualgan.gan import GAN
from dualgan.runs.folder import BEST, CHECKPOINTS, LAST, run_folder
from dualgan.runs.metrics_csv import MetricsFile
from dualgan.runs.metrics_jsonl import forget_after
from dualgan.runs.retention import (
    WholeFiles,
    confirm_best,
    forget_files_after,
    go_back_to,
    keep_previous,
    link,
    prune,
    remove_leftovers,
)
from dualgan.runtime.private_parts import count_steps_right
from dualgan.terminal.console import say


class RunCheckpoint(Checkpoint):
    """Saves the last state at intervals and at the end, and the best one by Frechet distance.

    Files are written under another name and then renamed: a kill leaves the previous checkpoint whole. There is one
    from before the first step on, so a run can be continued whenever it was killed. A best state is the last one
    when it is saved: best.ckpt is a second name of the same file.

    Args:
        every_kimg: Thousands of images between saves of last.ckpt; a new best state is saved at once.
        keep: Last states to keep: last.ckpt, and those before it as kimg_NNNNN.NNN.ckpt.
    """

    def __init__(self, every_kimg: float = 50.0, keep: int = 1) -> None:
        self.every_kimg = check_interval(every_kimg, "checkpoints")
        if keep < 1:
            raise ValueError(f"checkpoints.keep {keep} is too small: give 1, which is last.ckpt alone, or more")
        self.keep = keep
        self.best: float | None = None
        self.best_images: int | None = None  # when that was
        self.best_protocol: str | None = None  # what was measured
        self.config: dict[str, Any] | None = None  # the run's, as plain data; whoever knows it sets it
        self._due = False
        self._saved_images: int | None = None  # time of last.ckpt
        self._rows: int | None = None  # of metrics.csv, when the checkpoint was saved
        self._made_first = False
        self._clock_at_start: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best score so far, and when it was."""
        return {"best": self.best, "best_images": self.best_images, "best_protocol": self.best_protocol}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score of a resumed run back."""
        self.best, self.best_images = state_dict["best"], state_dict.get("best_images")
        self.best_protocol = state_dict.get("best_protocol")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the values that are logged again until their next turn, and what the training runs with."""
        assert isinstance(pl_module, GAN)
        checkpoint["latest"] = {name: value.item() for name, value in pl_module.latest_over_ranks().items()}
        rows = [logger.written for logger in trainer.loggers if isinstance(logger, MetricsFile)]
        run = {**conditions(trainer, pl_module), "metrics_rows": rows[0] if rows else None, "config": self.config}
        checkpoint["run"] = run

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take them back, so that a resumed run logs what the uninterrupted one does; warn of what has changed."""
        assert isinstance(pl_module, GAN)
        run = checkpoint.get("run", {})
        self._rows = run.get("metrics_rows")
        if trainer.state.fn == "fit":
            warn_if_changed(run, conditions(trainer, pl_module))
            if jump := jumps(run, pl_module):
                say(jump)
        latest = checkpoint.get("latest", {}).items()
        pl_module.latest = {name: torch.tensor(value, device=pl_module.device) for name, value in latest}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have checkpoints written whole or not at all."""
        trainer.strategy.checkpoint_io = WholeFiles()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the untrained state, or make the run's folder what it was at the checkpoint that was resumed."""
        assert isinstance(pl_module, GAN)
        if trainer.is_global_zero:
            remove_leftovers(run_folder(trainer))
        if not trainer.ckpt_path:
            self._save(trainer)
            self._made_first = True
            return
        images_seen = int(pl_module.images_seen)
        if trainer.is_global_zero:
            self._go_back(trainer, Path(trainer.ckpt_path), images_seen)
        self.best, self.best_images = trainer.strategy.broadcast((self.best, self.best_images))
        self._saved_images = images_seen

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save what the last step made due: now it is logged, and all of Lightning's counters have moved."""
        assert isinstance(pl_module, GAN)
        count_steps_right(trainer)
        self._save_due(trainer)
        self._clock_at_start = pl_module.clock

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note what is due."""
        assert isinstance(pl_module, GAN)
        self._due |= self._is_new_best(trainer, pl_module) or crossed(pl_module, batch, self.every_kimg)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last state."""
        assert isinstance(pl_module, GAN)
        self._due = self._saved_images != pl_module.clock
        self._save_due(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep the work so far, unless a step was cut in half, other ranks may be gone or the user is in a hurry."""
        assert isinstance(pl_module, GAN)
        step_is_whole = self._clock_at_start is not None and pl_module.clock > self._clock_at_start
        hurry = not isinstance(exception, Exception) or interrupt_behind(exception) is not None
        if trainer.training and trainer.world_size == 1 and step_is_whole and not hurry:
            try:
                self._save(trainer)
            except OSError as error:  # perhaps the same that has stopped the run, which is what the user must hear of
                say(f"The state of this moment could not be saved: {in_words(error)}")
        if self._made_first and self._clock_at_start is None and not hurry:
            self._discard_first(trainer)

    def _is_new_best(self, trainer: Trainer, gan: GAN) -> bool:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Quality) and callback.history and callback.history[-1][0] == gan.clock / 1000:
                value = callback.history[-1][1][callback.main_metric]
                if self.best is not None and self.best_protocol != callback.protocol:
                    say("best.ckpt is chosen anew: the scores before were measured in another way.")
                    self.best = None
                self.best_protocol = callback.protocol
                if self.best is None or value < self.best:
                    self.best, self.best_images = value, gan.clock
                    return True
        return False

    def _save_due(self, trainer: Trainer) -> None:
        due, self._due = self._due, False
        if due:
            with aside(trainer):
                self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        gan = trainer.lightning_module
        assert isinstance(gan, GAN)
        for logger in trainer.loggers:
            logger.save()  # a killed run must find the rows up to its checkpoint
        folder = run_folder(trainer) / CHECKPOINTS
        if trainer.is_global_zero and self._saved_images is not None and self._saved_images != gan.clock:
            keep_previous(folder, self._saved_images, self.keep)
        with naming(folder / LAST):
            trainer.save_checkpoint(folder / LAST, weights_only=False)  # False: with the optimizers
        self._saved_images = gan.clock
        if trainer.is_global_zero:
            if self.best_images == gan.clock:
                link(folder / LAST, folder / BEST)
            prune(folder, gan.clock, self.keep)
        trainer.strategy.barrier()

    def _go_back(self, trainer: Trainer, source: Path, images_seen: int) -> None:
        run_dir = run_folder(trainer)
        replaced = go_back_to(run_dir / CHECKPOINTS, source)
        if replaced is not None and replaced > images_seen:
            say(
                f"Going back from {replaced / 1000:g} to {images_seen / 1000:g} kimg: rows, pictures and checkpoints "
                f"of {run_dir} from after that time are removed."
            )
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                logger.keep(self._rows, images_seen / 1000)
        forget_after(run_dir, images_seen / 1000)
        forget_files_after(run_dir, images_seen)
        # A kill may have come right before this at a save: after the last one nothing else would do it.
        prune(run_dir / CHECKPOINTS, images_seen, self.keep)
        self.best_images = confirm_best(run_dir / CHECKPOINTS, images_seen, self.best_images, self.best is not None)
        self.best = None if self.best_images is None else self.best

    def _discard_first(self, trainer: Trainer) -> None:
        """Nothing has been trained: the command may be given again, corrected."""
        if trainer.is_global_zero:
            folder = run_folder(trainer) / CHECKPOINTS
            (folder / LAST).unlink(missing_ok=True)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
