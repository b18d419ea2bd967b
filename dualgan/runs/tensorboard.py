"""TensorBoard: one folder of events per run folder, however often it was resumed, with images as its axis."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import TensorBoardLogger

from dualgan.runs.dispensable import Dispensable
from dualgan.runs.folder import EVENTS
from dualgan.weights.checkpoints import images_seen_in

_NOT_SHOWN = ("kimg", "epoch")  # the axis, and what means nothing here


def check_tensorboard() -> None:
    """Look for the package that writes events.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise ValueError(
            "tensorboard true needs the package tensorboard, which is not installed: pip install 'dualgan[tensorboard]'"
        ) from error


def tensorboard_logger(run_dir: Path, checkpoint: str | None) -> "EventsLogger":
    """The logger of a training, which goes on after a checkpoint; None for a run from the start."""
    return EventsLogger(run_dir, 0 if checkpoint is None else images_seen_in(Path(checkpoint)) or 0)


class EventsLogger(TensorBoardLogger):
    """Numbers, pictures and the configuration of a run as TensorBoard's events; the training does not depend on it.

    TensorBoard counts steps in whole numbers: here they are images seen. A run that goes on from a checkpoint tells
    TensorBoard to forget what an earlier part has logged after it.

    Args:
        run_dir: The run's folder.
        images_seen: Where the training begins or goes on.
    """

    def __init__(self, run_dir: Path, images_seen: int = 0) -> None:
        super().__init__(run_dir, name="", version=EVENTS, default_hp_metric=False)
        self.images_seen = images_seen
        self._optional = Dispensable("TensorBoard")

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Begin, now that the checkpoint has been found to fit: forget what came after it, show the configuration."""
        self._optional.attempt(lambda: self._begin(params))

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log a row at its kimg; rows without stand where the last one with it stood."""
        if "kimg" in metrics:
            self.images_seen = _images(float(metrics["kimg"]))
        shown = {name: value for name, value in metrics.items() if name not in _NOT_SHOWN}
        self._optional.attempt(lambda: TensorBoardLogger.log_metrics(self, shown, self.images_seen))

    @rank_zero_only
    def log_picture(self, key: str, picture: np.ndarray, kimg: float, step: int) -> None:
        """Show a picture [H, W, C]."""
        self._optional.attempt(lambda: self.experiment.add_image(key, picture, _images(kimg), dataformats="HWC"))

    @rank_zero_only
    def save(self) -> None:
        """Have all that was logged on its way to the disk."""
        self._optional.attempt(lambda: self.experiment.flush())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the file with the training."""
        self._optional.attempt(lambda: TensorBoardLogger.finalize(self, status))

    def _begin(self, config: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        # the start of a session: TensorBoard hides what earlier files of the folder have at its step and later
        step = self.images_seen + 1 if self.images_seen else 0
        start = Event(step=step, session_log=SessionLog(status=SessionLog.START))
        self.experiment.file_writer.add_event(start)
        text = f"```\n{yaml.safe_dump(config, sort_keys=False)}```"
        self.experiment.add_text("config", text, self.images_seen)


def _images(kimg: float) -> int:
    return round(1000 * kimg)
