"""Where a run's files go: one folder with config.yaml, metrics.csv, samples/ and checkpoints/."""

import csv
import logging
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from dualgan.callbacks.console import say
from dualgan.disk import naming
from dualgan.metric_names import HIGHER, LOWER, SECTION
from dualgan.pictures import to_pil

logger = logging.getLogger(__name__)


def run_folder(trainer: Trainer) -> Path:
    """The run's folder."""
    return Path(trainer.default_root_dir)


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


class RunCSVLogger(CSVLogger):
    """metrics.csv in the run's folder, without Lightning's habit of deleting the file when a run is resumed.

    Args:
        run_dir: The run's folder.
    """

    def __init__(self, run_dir: str | Path) -> None:
        super().__init__(save_dir=str(run_dir), name="", version="")

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer; the rows of an earlier part of this run are already in it."""
        if self._experiment is None:
            rows = self._rows_on_disk()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the folder is not empty, and will be emptied
                writer = ExperimentWriter(log_dir=self.log_dir)
            writer.metrics.extend(rows)
            self._experiment = writer
        assert isinstance(self._experiment, ExperimentWriter)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Add a row; without epochs, which mean nothing here, and with kimg free of float32's last digits."""
        row = {name: value for name, value in metrics.items() if name != "epoch"}
        if "kimg" in row:
            row["kimg"] = float(f"{float(row['kimg']):.7g}")
        super().log_metrics(row, step)

    @rank_zero_only
    def save(self) -> None:
        """Write the rows."""
        path = Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
            super().save()

    @rank_zero_only
    def drop_after(self, kimg: float) -> None:
        """Forget rows later than `kimg`: a resumed run writes them again."""
        self.save()
        limit = kimg * (1 + 3e-7)  # logged values have 7 digits
        kept = [row for row in self._rows_on_disk() if float(row.get("kimg", 0)) <= limit]
        (Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE).unlink(missing_ok=True)
        self.experiment.metrics = kept
        self.save()

    def _rows_on_disk(self) -> list[dict[str, Any]]:
        path = Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            return [{key: value for key, value in row.items() if value != ""} for row in csv.DictReader(file)]


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
    """Lightning's W&B logger with kimg instead of steps on every x axis, which the training does not depend on."""

    _gone = False

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
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Send values."""
        self._try(super().log_metrics, metrics, step)

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Send pictures."""
        self._try(super().log_image, key, images, step, **kwargs)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the W&B run with the training, not with the process."""
        self._try(super().finalize, status)
        if self._experiment is not None:
            self._try(self._experiment.finish, exit_code=0 if status == "success" else 1)

    def _try(self, send: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Do without W&B from its first failure on: its server or its process may be gone, and metrics.csv is not."""
        if self._gone:
            return
        try:
            send(*args, **kwargs)
        except Exception as error:  # its transport raises many kinds
            self._gone = True
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            logger.warning("W&B has failed (%s): the run goes on without it. metrics.csv has all values.", reason)
            import wandb

            with suppress(Exception):
                wandb.teardown(exit_code=1)  # otherwise it tries again, and fails loudly, when the process ends
