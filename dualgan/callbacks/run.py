"""Where a run's files go: one folder with config.yaml, metrics.csv, samples/ and checkpoints/."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger

from dualgan.callbacks.console import say
from dualgan.metric_names import HIGHER, LOWER, SECTION
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
        if isinstance(logger, WandbLogger):
            logger.log_image(key, [to_pil(picture)], step=trainer.global_step, caption=[f"{kimg:.1f} kimg"])


@dataclass
class WandbOptions:
    """Weights & Biases.

    Args:
        mode: "auto" is online with a login and offline without one; "disabled" writes nothing.
        project: Project of the run.
        name: Name of the run; null is the name of the run's folder.
        group: Group of the run, for instance all seeds of one setting.
        tags: Tags of the run.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "dualgan"
    name: str | None = None
    group: str | None = None
    tags: list[str] | None = None


def wandb_logger(run_dir: Path, options: WandbOptions) -> WandbLogger | None:
    """W&B's logger with kimg as the axis of everything, or None where it is disabled."""
    if options.mode == "disabled" or os.environ.get("WANDB_MODE") == "disabled":
        return None
    import wandb

    online = options.mode == "online" or (options.mode == "auto" and wandb.login(prompt=False))
    if not online:
        say(f"W&B: no login found or wanted, logging offline. Later: wandb sync {run_dir}/wandb/offline-run-*")
    run_dir.mkdir(parents=True, exist_ok=True)
    return KimgWandbLogger(
        name=options.name or run_dir.name,
        project=options.project,
        save_dir=str(run_dir),
        group=options.group,
        tags=options.tags,
        settings=wandb.Settings(silent=True, mode="online" if online else "offline"),
    )


class KimgWandbLogger(WandbLogger):
    """Lightning's W&B logger with kimg instead of steps on every x axis."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run."""
        fresh = self._experiment is None
        self._wandb_init.pop("anonymous", None)  # W&B warns about this setting, which Lightning always makes
        run = super().experiment
        if fresh:
            run.define_metric("kimg")
            run.define_metric("*", step_metric="kimg", step_sync=True)
            for best, names in (("min", LOWER), ("max", HIGHER)):
                for name in names:
                    run.define_metric(SECTION + name, step_metric="kimg", summary=f"{best},last")
        return run

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the W&B run with the training, not with the process."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == "success" else 1)
