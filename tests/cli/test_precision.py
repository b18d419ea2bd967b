"""trainer.precision null: the faster of two on a CPU that has both, the one that is there elsewhere."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from dualgan.auxiliary import InstanceDiscrimination
from dualgan.cli import precision
from dualgan.cli.precision import BF16, FLOAT32, faster_precision
from dualgan.cli.settings import fit_to_machine
from dualgan.gan import GAN
from dualgan.networks.cpu.plan import Plan
from dualgan.weights.checkpoints import read_checkpoint
from tests.cli.test_runs import assert_same_state
from tests.conftest import TINY, RunCLI
from tests.tiny import attending_gan, growing_discriminator, growing_generator, tiny_gan

NULL = (*TINY, "--trainer.precision", "null")


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with bfloat16."""
    monkeypatch.setattr("dualgan.cli.settings.bf16_cpu", lambda: True)


def taking(monkeypatch: pytest.MonkeyPatch, in_float32: float, in_bf16: float) -> None:
    monkeypatch.setattr(precision, "seconds_of_steps", lambda *_: {FLOAT32: in_float32, BF16: in_bf16})


def in_config(run: str) -> str:
    return str(yaml.safe_load(Path(run, "config.yaml").read_text())["trainer"]["precision"])


@pytest.mark.parametrize(("in_bf16", "faster"), [(1.0, BF16), (1.95, FLOAT32), (3.0, FLOAT32)])
def test_the_faster_one_trains_and_is_written_down(
    in_bf16: float, faster: str, bf16: None, run_cli: RunCLI, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking(monkeypatch, 2.0, in_bf16)
    said = run_cli.succeeds("fit", *NULL, "--run_dir", "run")
    assert (
        f"Training in {faster}: a step without penalties takes 2 s in 32-true, {in_bf16:.2g} s in bf16-mixed." in said
    )
    assert in_config("run") == faster
    assert read_checkpoint("run/checkpoints/last.ckpt")["run"]["precision"] == faster


def test_finding_out_changes_nothing_else(bf16: None, run_cli: RunCLI, in_empty_folder: Path) -> None:
    said = run_cli.succeeds("fit", *NULL, "--run_dir", "found")
    assert said.count("Training in ") == 1
    run_cli.succeeds("fit", *TINY, "--trainer.precision", in_config("found"), "--run_dir", "given")
    assert_same_state(*(in_empty_folder / run / "checkpoints" / "last.ckpt" for run in ("found", "given")))


def test_who_goes_on_keeps_it(
    bf16: None, run_cli: RunCLI, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking(monkeypatch, 2.0, 1.0)
    run_cli.succeeds("fit", *NULL, "--run_dir", "run")
    monkeypatch.setattr(precision, "seconds_of_steps", lambda *_: pytest.fail("it is known"))
    assert "finished run of this configuration" in run_cli.fails("fit", *NULL, "--run_dir", "run")
    longer = ("--run_dir", "run", "--ckpt_path", "auto", "--model.total_kimg", "0.024")
    outcome = run_cli("fit", *NULL, *longer)
    assert outcome.code == 0, outcome.err
    assert "other conditions" not in outcome.err
    assert in_config("run") == BF16


def test_other_verbs_time_nothing(
    bf16: None, run_cli: RunCLI, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_cli.succeeds("fit", *TINY, "--run_dir", "run")
    timed: list[object] = []
    monkeypatch.setattr(precision, "seconds_of_steps", lambda *given: timed.append(given))
    run_cli.succeeds("validate", *NULL, "--run_dir", "run")
    assert timed == []


@pytest.mark.parametrize(
    ("has_bf16", "devices", "nodes", "expected"),
    [(True, "auto", 1, None), (True, 1, 1, None), (True, 2, 1, BF16), (True, 1, 2, BF16), (False, 1, 1, FLOAT32)],
)
def test_only_one_process_on_a_cpu_with_both_has_a_choice(
    has_bf16: bool, devices: Any, nodes: int, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualgan.cli.settings.bf16_cpu", lambda: has_bf16)
    trainer: Any = SimpleNamespace(accelerator="cpu", precision=None, devices=devices, num_nodes=nodes)
    fit_to_machine(trainer)
    assert trainer.precision == expected


GANS: dict[str, dict[str, Any]] = {
    "plain": {"convolutions": "measured"},
    "classes, micro-batches": {"num_classes": 3, "micro_batch": 4},
    "growing": {"generator": growing_generator, "discriminator": growing_discriminator},
    "auxiliary": {"auxiliary": [partial(InstanceDiscrimination, preset="fakeclr", hidden=8, width=4)]},
}


@pytest.mark.parametrize("case", [*GANS, "references"])
def test_a_gan_stays_as_it_is(case: str) -> None:
    gan: GAN = attending_gan() if case == "references" else tiny_gan(**GANS[case])
    before, drawn = {k: v.clone() for k, v in gan.state_dict().items()}, torch.get_rng_state()
    assert faster_precision(gan, 8) in (FLOAT32, BF16)
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(p.grad is None for p in gan.parameters())
    assert all(p.requires_grad for p in gan.discriminator.parameters())
    assert gan.convolutions.plan is None or isinstance(gan.convolutions.plan, Plan)


def test_compiled_networks_are_not_timed() -> None:
    assert faster_precision(tiny_gan(compile=True), 8) == BF16
