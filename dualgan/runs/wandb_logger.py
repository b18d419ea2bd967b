"""Weights & Biases: one W&B run per run folder, however often it was killed and resumed, with kimg as its axis."""

import logging
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import WandbLogger

from dualgan.metrics.names import SECTION, patterns
from dualgan.runs.clock import plain_kimg
from dualgan.runs.wandb_file import history
from dualgan.terminal.console import say
from dualgan.weights.checkpoints import read_checkpoint

logger = logging.getLogger(__name__)


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


@dataclass
class Session:
    """What earlier parts of a run have logged, as far as the files in its folder show.

    Attributes:
        id: Of the W&B run; None begins a new one.
        kimg: Time of the last row.
        names: What was logged at that time.
    """

    id: str | None = None
    kimg: float = -1.0
    names: set[str] = field(default_factory=set)


def earlier_session(run_dir: Path) -> Session:
    """Read the files of the newest W&B run in a run's folder; a damaged one counts up to the damage."""
    files = sorted((run_dir / "wandb").glob("*run-*-*/run-*.wandb"), key=lambda path: path.parent.name.split("-")[-2])
    if not files:
        return Session()
    session = Session(files[-1].stem.removeprefix("run-"))
    for path in files:
        if path.name != files[-1].name:
            continue
        try:
            for row in history(path):
                session = _with_row(session, row)
        except ValueError:
            continue
    return session


def _with_row(session: Session, row: dict[str, Any]) -> Session:
    kimg = plain_kimg(row.get("kimg", -1.0))
    if kimg < session.kimg:
        return session
    names = {name.split("/_type")[0] for name in row}
    return Session(session.id, kimg, names | session.names if kimg == session.kimg else names)


def session_to_continue(run_dir: Path, checkpoint: str | None, config: Callable[[], dict[str, Any]]) -> Session:
    """The W&B run that a training goes on with.

    W&B cannot take rows back. After a kill it has rows from after the checkpoint; the resumed run does not log them
    again. With other settings they would be wrong, so there a new W&B run begins.

    Args:
        run_dir: The run's folder.
        checkpoint: The checkpoint that is resumed; None for a run from the start.
        config: Gives the run's configuration as plain data.
    """
    session = Session() if checkpoint is None else earlier_session(run_dir)
    if checkpoint is None or session.id is None:
        return Session()
    state = read_checkpoint(checkpoint)
    before = state["run"].get("config") or {}
    if session.kimg <= plain_kimg(int(state["state_dict"]["images_seen"]) / 1000):
        return session
    now = config()
    changed = [name for name in ("model", "data", "seed_everything") if before.get(name) != now.get(name)]
    if changed:
        say(
            f"W&B: a new run, as settings have changed ({', '.join(changed)}) and the old one has rows from after this."
        )
        return Session()
    return session


def wandb_logger(
    run_dir: Path, options: WandbOptions, checkpoint: str | None, config: Callable[[], dict[str, Any]]
) -> WandbLogger | None:
    """W&B's logger with kimg as the axis of everything, or None where it is disabled.

    Args:
        run_dir: The run's folder.
        options: Of the user.
        checkpoint: The checkpoint that is resumed; None for a run from the start.
        config: Gives the run's configuration as plain data.
    """
    if options.mode == "disabled" or os.environ.get("WANDB_MODE") == "disabled":
        return None
    import wandb

    online = options.mode == "online" or (options.mode == "auto" and wandb.login(prompt=False))
    if not online:
        say(f"W&B: no login found or wanted, logging offline. Later: wandb sync {run_dir}/wandb/offline-run-*")
    run_dir.mkdir(parents=True, exist_ok=True)
    session = session_to_continue(run_dir, checkpoint, config)
    return KimgWandbLogger(
        session,
        id=session.id,
        resume=None if session.id is None else "allow",
        name=options.name or run_dir.name,
        project=options.project,
        save_dir=str(run_dir.absolute()),  # W&B's own process has a working directory of its own
        group=options.group,
        tags=options.tags,
        settings=wandb.Settings(silent=True, mode="online" if online else "offline"),
    )


class KimgWandbLogger(WandbLogger):
    """Lightning's W&B logger with kimg instead of steps on every x axis, which the training does not depend on.

    Args:
        session: What the W&B run has already; rows of those times are not logged again.
        options: As for WandbLogger.
    """

    def __init__(self, session: Session, **options: Any) -> None:
        super().__init__(**options)
        self.session = session
        self._gone = False

    def has(self, kimg: float, names: Collection[str]) -> bool:
        """Whether W&B has values of that time; all of them have names."""
        last = self.session.kimg
        return plain_kimg(kimg) < last or (plain_kimg(kimg) == last and self.session.names.issuperset(names))

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log a row that W&B does not have."""
        if "kimg" not in metrics or not self.has(float(metrics["kimg"]), metrics.keys() - {"epoch"}):
            self._try(super().log_metrics, metrics, step)

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
            for best, names in (("min", patterns("lower")), ("max", patterns("higher"))):
                for name in names:
                    run.define_metric(SECTION + name, step_metric="kimg", summary=f"{best},last")
        return run

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
