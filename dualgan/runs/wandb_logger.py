"""Weights & Biases: one W&B run per run folder, however often it was killed and resumed, with kimg as its axis."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger

from dualgan.files.atomic import read_json, write_json
from dualgan.metrics.names import SECTION, patterns
from dualgan.pictures.grids import to_pil
from dualgan.runs.clock import plain_kimg
from dualgan.runs.dispensable import Dispensable
from dualgan.runs.folder import SENT
from dualgan.terminal.console import say
from dualgan.weights.checkpoints import read_checkpoint


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


@dataclass(frozen=True)
class Session:
    """What the W&B run of a folder has got so far.

    Attributes:
        id: Of the W&B run; None begins a new one.
        kimg: Time of the last row.
        names: What was logged at that time.
    """

    id: str | None = None
    kimg: float = -1.0
    names: frozenset[str] = frozenset()


def earlier_session(run_dir: Path) -> Session:
    """What earlier parts of a run have noted; a file that is missing or damaged begins a new W&B run."""
    noted = read_json(run_dir / SENT)
    try:
        return Session(str(noted["id"]), float(noted["kimg"]), frozenset(noted["names"]))
    except (TypeError, KeyError, ValueError):
        return Session()


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
) -> "KimgWandbLogger | None":
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
        run_dir,
        session,
        resume=None if session.id is None else "allow",
        name=options.name or run_dir.name,
        project=options.project,
        group=options.group,
        tags=options.tags,
        settings=wandb.Settings(silent=True, mode="online" if online else "offline"),
    )


class KimgWandbLogger(Logger):
    """The W&B run of a training, with kimg instead of steps on every x axis; the training does not depend on it.

    What is sent is noted in the run's folder before: W&B gives nothing back that it has got.

    Args:
        run_dir: The run's folder.
        session: What the W&B run has already; rows of those times are not logged again.
        options: As for wandb.init.
    """

    name = version = save_dir = ""

    def __init__(self, run_dir: Path, session: Session, **options: Any) -> None:
        super().__init__()
        self.save_dir = str(run_dir.absolute())  # W&B's own process has a working directory of its own
        self.run_dir, self.session, self.options = run_dir, session, options
        self._run: Any = None
        self._optional = Dispensable("W&B", _stop_trying)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run."""
        if self._run is None:
            import wandb

            self._run = wandb.init(id=self.session.id, dir=self.save_dir, **self.options)
            self._run.define_metric("kimg")
            self._run.define_metric("*", step_metric="kimg", step_sync=True)
            for best, names in (("min", patterns("lower")), ("max", patterns("higher"))):
                for name in names:
                    self._run.define_metric(SECTION + name, step_metric="kimg", summary=f"{best},last")
            self._note(replace(self.session, id=self._run.id))
        return self._run

    def has(self, kimg: float, names: Collection[str]) -> bool:
        """Whether W&B has values of that time; all of them have names."""
        last = self.session.kimg
        return plain_kimg(kimg) < last or (plain_kimg(kimg) == last and self.session.names.issuperset(names))

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Send the run's configuration, as plain data."""
        self.experiment.config.update(params, allow_val_change=True)

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log a row that W&B does not have."""
        if "kimg" not in metrics or not self.has(float(metrics["kimg"]), metrics.keys() - {"epoch"}):
            self._optional.attempt(lambda: self._send(metrics, step))

    @rank_zero_only
    def log_picture(self, key: str, picture: np.ndarray, kimg: float, step: int) -> None:
        """Show a picture [H, W, C] that W&B does not have."""
        import wandb

        def send() -> None:
            image = wandb.Image(to_pil(picture), caption=f"{kimg:.1f} kimg")
            self._send({key: [image], "kimg": kimg}, step)

        if not self.has(kimg, {key}):
            self._optional.attempt(send)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the W&B run with the training, not with the process."""
        if self._run is not None:
            self._optional.attempt(lambda: self._run.finish(exit_code=0 if status == "success" else 1))

    def _send(self, values: Mapping[str, Any], step: int | None) -> None:
        run = self.experiment
        if "kimg" in values:
            kimg = plain_kimg(values["kimg"])
            earlier = self.session.names if kimg == self.session.kimg else frozenset[str]()
            self._note(Session(self.session.id, kimg, earlier.union(values)))
        run.log(dict(values) if step is None else {**values, "trainer/global_step": step})

    def _note(self, session: Session) -> None:
        self.session = session
        write_json(self.run_dir / SENT, {**asdict(session), "names": sorted(session.names)})


def _stop_trying() -> None:
    import wandb

    wandb.teardown(exit_code=1)  # otherwise it tries again, and fails loudly, when the process ends
