"""Ctrl-C, SIGTERM and SIGUSR1: finish the step on all ranks, save, stop, and ask SLURM for another turn."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from dualgan.runtime.distributed import max_over_ranks
from dualgan.runtime.private_parts import leave_signals_alone
from dualgan.terminal.console import is_rank_zero, say

STEPS_TO_AGREE = 16  # between looks at whether another rank was signalled
WEIGHT = {signal.SIGINT: 1, signal.SIGTERM: 2, signal.SIGUSR1: 3}  # the heavier one wins where several came
BY_WEIGHT = {weight: number for number, weight in WEIGHT.items()}


class Stopped(KeyboardInterrupt):
    """A signal asked to stop at once, with nothing to save."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.exit_code = 128 + number


class Signals(Callback):
    """Stops a training between two steps when a signal came to any of its processes; nothing is lost.

    SIGINT (Ctrl-C) and SIGTERM: last.ckpt is saved and the program ends with code 130 or 143. SIGUSR1, with which
    schedulers announce the end of a time limit: the same with code 138, and rank zero of a SLURM job requeues the job.
    A second Ctrl-C stops at once, and so does a Ctrl-C or SIGTERM before the first step, when there is nothing to save.
    Each of them stops the other verbs at once.

    Lightning's own handlers are switched off, see `leave_signals_alone`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.stopped_by: signal.Signals | None = None
        self._trains = self._in_step = self._pressed = False
        self._old_handlers: dict[signal.Signals, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._trains = stage == "fit"
        leave_signals_alone(trainer)
        for number in WEIGHT:
            self._old_handlers[number] = signal.signal(number, self._receive)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """From now on there is something to save."""
        self._in_step = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after this step, at the same one on all ranks."""
        if trainer.should_stop:
            return  # the training is complete: nothing to requeue
        if trainer.world_size == 1:
            self.stopped_by = self.received
        elif batch_idx % STEPS_TO_AGREE == 0:
            # A signal that comes while the ranks agree stays in `received`, for the next time.
            own = torch.tensor(WEIGHT[self.received] if self.received else 0, device=pl_module.device)
            self.stopped_by = BY_WEIGHT.get(int(max_over_ranks(own)))
        trainer.should_stop = self.stopped_by is not None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore_handlers()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._restore_handlers()

    def finish(self, trainer: Trainer) -> int:
        """Requeue the job where SIGUSR1 asked for it; returns the program's exit code. For after the training."""
        if self.stopped_by is signal.SIGUSR1 and "SLURM_JOB_ID" in os.environ and trainer.is_global_zero:
            requeue(os.environ["SLURM_JOB_ID"])
        # A process that was started by another one must not look like a failure: its parent would be killed for it.
        return 128 + self.stopped_by if self.stopped_by and trainer.local_rank == 0 else 0

    def _receive(self, number: int, frame: FrameType | None) -> None:
        which = signal.Signals(number)
        if not (self._in_step or (self._trains and which is signal.SIGUSR1)):
            self.received = which  # Python swallows what a hook or a finalizer raises: the first step stops then
            raise Stopped(which)
        if which is signal.SIGINT and self._pressed:
            raise Stopped(which)
        self._pressed |= which is signal.SIGINT
        if self.received is None or WEIGHT[which] > WEIGHT[self.received]:
            self.received = which
        _write_line(f"{_NAMES[which]}: finishing what is going on, then saving and stopping.{_HINTS.get(which, '')}")

    def _restore_handlers(self) -> None:
        while self._old_handlers:
            signal.signal(*self._old_handlers.popitem())


_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGUSR1: "SIGUSR1"}
_HINTS = {signal.SIGINT: " Once more to stop at once."}


def requeue(job: str) -> None:
    """Ask SLURM to start this job again; says what to do where it refuses."""
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        problem = done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else None
    except OSError as error:
        problem = str(error)
    if problem is None:
        say(f"Job {job} is requeued.")
    else:
        print(
            f"warning: scontrol requeue {job} failed ({problem}): the checkpoint is saved, submit the job again",
            file=sys.stderr,
        )


def _write_line(text: str) -> None:
    """Print from a signal handler, which may have interrupted another print: past Python's buffers, on rank zero."""
    if is_rank_zero():
        with contextlib.suppress(OSError):
            os.write(1, f"\n{text}\n".encode())
