"""Signals to a training in this process; tests/cli/test_interrupt.py sends them to processes of their own."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from pytorch_lightning import Callback
from torch import multiprocessing
from torch.utils.data import Dataset

from dualgan.callbacks.signals import STEPS_TO_AGREE, WEIGHT, Signals, Stopped
from dualgan.data.batches import image_loader, obey_the_parent_only, signals_held
from tests.tiny import tiny_gan, train

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


class Sender(Callback):
    """Sends signals to this very process after some steps."""

    def __init__(self, after: int, *numbers: signal.Signals) -> None:
        self.after, self.numbers = after, numbers

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        if batch_idx == self.after:
            for number in self.numbers:
                signal.raise_signal(number)


def stopped_by(*numbers: signal.Signals, steps: int = 6, after: int = 1) -> tuple[Signals, int, int]:
    """The callback, the exit code and the number of steps of a training that gets signals."""
    signals = Signals()
    trainer = train(tiny_gan(total_kimg=0.001 * 8 * steps), -1, callbacks=[Sender(after, *numbers), signals])
    return signals, signals.finish(trainer), trainer.global_step


@pytest.fixture
def outside_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


@pytest.mark.parametrize("number", WEIGHT)
@pytest.mark.usefixtures("outside_of_slurm")
def test_each_signal_stops_after_the_step_with_its_exit_code(number: signal.Signals) -> None:
    _, code, steps = stopped_by(number)
    assert (code, steps) == (128 + number, 2)


@pytest.mark.usefixtures("outside_of_slurm")
def test_the_announced_end_of_the_time_limit_wins_over_the_sigterm_that_follows() -> None:
    assert stopped_by(signal.SIGUSR1, signal.SIGTERM)[1] == 138


class Hook(Callback):
    """Gets a signal where Python ignores exceptions, as in the logging module's hooks around a fork."""

    def on_fit_start(self, trainer, pl_module) -> None:  # type: ignore[no-untyped-def]
        with suppress(Stopped):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("outside_of_slurm")
def test_a_signal_that_was_swallowed_before_the_first_step_stops_after_it() -> None:
    signals = Signals()
    trainer = train(tiny_gan(), -1, callbacks=[Hook(), signals])
    assert (signals.finish(trainer), trainer.global_step) == (128 + signal.SIGTERM, 1)


def test_a_training_that_is_complete_is_not_requeued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("PATH", "")
    signals, code, steps = stopped_by(signal.SIGUSR1, steps=3, after=2)
    assert (code, steps, signals.stopped_by) == (0, 3, None)


def test_a_job_that_slurm_does_not_requeue_is_said_to_be_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stopped_by(signal.SIGUSR1)[1] == 138
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\necho Invalid job id >&2\nexit 1\n")
    program.chmod(0o755)
    assert stopped_by(signal.SIGUSR1)[1] == 138
    missing, refused = capsys.readouterr().err.strip().split("\n")
    assert "scontrol requeue 12 failed" in missing
    assert "submit the job again" in missing
    assert "Invalid job id" in refused


def test_a_signal_that_comes_while_the_ranks_agree_counts_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, trainer = Signals(), mock.Mock(world_size=2, should_stop=False)
    signals.on_train_batch_start(trainer, mock.Mock(), None, 0)

    def agree(weight: torch.Tensor) -> torch.Tensor:
        signals._receive(signal.SIGUSR1, None)
        return weight

    monkeypatch.setattr("dualgan.callbacks.signals.max_over_ranks", agree)
    for step in range(STEPS_TO_AGREE + 1):
        assert not trainer.should_stop
        signals.on_train_batch_end(trainer, mock.Mock(device="cpu"), None, None, step)
    assert trainer.should_stop
    assert signals.stopped_by is signal.SIGUSR1


def test_before_the_first_step_there_is_nothing_to_wait_for() -> None:
    with pytest.raises(Stopped) as stop:
        Signals()._receive(signal.SIGTERM, None)
    assert stop.value.exit_code == 143


def test_the_second_ctrl_c_stops_at_once_whatever_else_has_come() -> None:
    signals = Signals()
    signals.on_train_batch_start(mock.Mock(), mock.Mock(), None, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signals._receive(number, None)
    with pytest.raises(Stopped) as stop:
        signals._receive(signal.SIGINT, None)
    assert stop.value.exit_code == 130


def test_all_handlers_are_given_back() -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    stopped_by(signal.SIGINT)
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def work(begun: Event) -> None:
    obey_the_parent_only()
    begun.set()
    time.sleep(60)


# Multiprocessing ends its daemons by SIGTERM when the program ends.
def test_a_loader_process_outlives_signals_to_the_job_but_not_its_parents() -> None:
    forking = multiprocessing.get_context("fork")
    begun = forking.Event()  # what a process blocks does not tell: it blocks all signals while it forks
    worker = forking.Process(target=work, args=(begun,), daemon=True)
    with signals_held():  # telemetry that other tests have begun starts threads in it
        worker.start()
    assert begun.wait(30)
    kill_from_outside(worker.pid)
    worker.join(0.3)
    assert worker.is_alive()
    worker.terminate()
    worker.join(30)
    assert worker.exitcode == 143


def kill_from_outside(pid: int | None) -> None:
    for number in WEIGHT:
        os.system(f"kill -{number.name.removeprefix('SIG')} {pid}")  # from a process of its own


threads_at_forks = False


def start_thread() -> None:
    if threads_at_forks:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_thread)


class ProcessNumbers(Dataset[Any]):
    def __len__(self) -> int:
        return 20

    def __getitems__(self, indices: list[int]) -> int:
        return os.getpid()


def test_threads_that_libraries_start_in_a_loader_process_leave_it_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    monkeypatch.setattr(sys.modules[__name__], "threads_at_forks", True)
    batches = iter(image_loader(ProcessNumbers(), 1, batch_size=1, multiprocessing_context="fork"))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    worker: Any = next(batches)
    kill_from_outside(worker)
    time.sleep(0.1)
    assert list(batches) == [worker] * 19
