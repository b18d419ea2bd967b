"""The rows of a run: each of its own step, in the order of steps, whatever ends the training and whoever gets them."""

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers.logger import Logger

from dualgan.callbacks.signals import Signals
from dualgan.gan import GAN
from tests.conftest import TINY, RunCLI, words
from tests.tiny import tiny_gan, train

FIT = (*TINY, *words("--model.total_kimg 0.08 --quality.every_kimg 0.024 --checkpoints.every_kimg 1"))
"""Ten steps of eight images, scored at each third and at the end."""

Row = dict[str, float]


class Recorder(Logger):
    """Any logger of Lightning's: what it gets."""

    name = version = ""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        assert step is not None
        self.rows.append({**metrics, "step": step})

    def log_hyperparams(self, *_: Any, **__: Any) -> None: ...


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], Any]], None]:
    """Lets something happen in the middle of a step, which count from 1."""
    real_step = GAN.training_step
    actions: dict[int, Callable[[], Any]] = {}

    def step(gan: GAN, batch: Any, batch_idx: int) -> None:
        if action := actions.pop(gan.clock // 8 + 1, None):
            action()
        real_step(gan, batch, batch_idx)

    monkeypatch.setattr(GAN, "training_step", step)
    return actions.__setitem__


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def rows(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def losses(found: list[Row]) -> list[Row]:
    return [row for row in found if "loss/generator" in row]


def in_order(values: list[float]) -> bool:
    return values == sorted(values)


@pytest.mark.parametrize("every", [3, 4, 50])
def test_a_row_is_of_its_own_step_and_the_last_one_of_the_end(every: int) -> None:
    found = {}
    for interval in (1, every):
        recorder = Recorder()
        train(tiny_gan(total_kimg=0.08), -1, logger=[recorder], log_every_n_steps=interval)
        found[interval] = recorder.rows
    assert [row["step"] for row in found[1]] == list(range(1, 11))
    assert found[every] == [row for row in found[1] if row["step"] % every == 0 or row["step"] == 10]
    assert all(round(1000 * row["kimg"]) == 8 * row["step"] for row in found[1])


@pytest.mark.parametrize("limit", ["signal", "steps"])
def test_a_stop_between_two_rows_adds_none(limit: str, at_step: Callable[[int, Callable[[], Any]], None]) -> None:
    recorder = Recorder()
    if limit == "signal":
        at_step(7, lambda: signal.raise_signal(signal.SIGINT))
    steps = 7 if limit == "steps" else -1
    trainer = train(tiny_gan(total_kimg=0.08), steps, callbacks=[Signals()], logger=[recorder], log_every_n_steps=4)
    assert trainer.global_step == 7
    assert [row["step"] for row in recorder.rows] == [4]


def test_no_interval_no_rows_but_the_end() -> None:
    recorder = Recorder()
    train(tiny_gan(total_kimg=0.04), -1, logger=[recorder], log_every_n_steps=0)
    assert [row["step"] for row in recorder.rows] == [5]


def test_who_watches_a_value_finds_it() -> None:
    """EarlyStopping and ModelCheckpoint of Lightning look there."""
    assert {"loss/generator", "kimg"} <= train(tiny_gan(), 2).callback_metrics.keys()


def test_all_files_of_a_run_are_in_the_order_of_steps(run_cli: RunCLI, in_empty_folder: Path) -> None:
    run_cli.succeeds("fit", *FIT, "--run_dir", "run", "--trainer.log_every_n_steps", 3)
    found = rows(Path("run", "metrics.csv"))
    assert [row["step"] for row in losses(found)] == [3, 6, 9, 10]
    assert in_order([row["step"] for row in found])
    assert all(round(1000 * row["kimg"]) == 8 * row["step"] for row in found)
    scored = [json.loads(line)["kimg"] for line in Path("run", "metrics.jsonl").read_text().splitlines()]
    assert scored == [0, 0.024, 0.048, 0.072, 0.08]
    assert in_order([row["kimg"] for row in rows(Path("run", "speed.csv"))])


def test_rows_of_a_validation_inside_of_a_training_have_its_step_and_time(run_cli: RunCLI) -> None:
    run_cli.succeeds(
        "fit", *FIT, "--run_dir", "run", *words("--trainer.log_every_n_steps 1 --trainer.val_check_interval 4")
    )
    found = rows(Path("run", "metrics.csv"))
    validated = [row for row in found if "val/loss/generator" in row]
    assert [row["step"] for row in validated] == [4, 8, 10]
    assert [row["kimg"] for row in validated] == [0.032, 0.064, 0.08]
    assert in_order([row["step"] for row in found])


@pytest.mark.parametrize("stop", [3, 7], ids=["at a row", "between rows"])
def test_a_run_that_was_stopped_and_went_on_has_the_rows_of_one_that_was_not(
    stop: int, run_cli: RunCLI, at_step: Callable[[int, Callable[[], Any]], None]
) -> None:
    often = words("--trainer.log_every_n_steps 3 --quality.num_fake 8")
    run_cli.succeeds("fit", *FIT, *often, "--run_dir", "whole")
    at_step(stop, lambda: signal.raise_signal(signal.SIGINT))
    assert run_cli("fit", *FIT, *often, "--run_dir", "stopped").code == 130
    run_cli.succeeds("fit", "--config", "stopped/config.yaml", "--ckpt_path", "last")
    for name in ("metrics.csv", "metrics.jsonl"):
        assert Path("stopped", name).read_bytes() == Path("whole", name).read_bytes()
