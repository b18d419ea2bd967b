"""One process with a batch of 2b and two with b each; what two ranks do that have drifted apart."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dualgan.networks.cpu.plan import read_plan
from tests.conftest import process_environment

ROOT = Path(__file__).parents[2]
CASES = (
    "warm-up, swapped", "minimax", "local", "non-saturating", "saturating", "hinge", "wasserstein",
    "attention, references", "attention, references, micro-batches", "self-attention in D", "extensions",
    "extensions, micro-batches", "classes, micro-batches", "adaptive augmentation",
    "adaptive augmentation, micro-batches", "FakeCLR", "InsGen, micro-batches", "growing", "U-Net GAN", "R3GAN",
)  # fmt: skip


def start_on(ranks: int, folder: Path) -> list[subprocess.Popen[str]]:
    program = ["-m", "tests.training.fit_on_ranks", str(folder / str(ranks)), str(folder / f"{ranks}.pt")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment = process_environment(PYTHONPATH=str(ROOT), **place)
    return [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", *program], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}, text=True,
        )
        for rank in range(ranks)
    ]  # fmt: skip


class Runs:
    """What one process and what two have made of the same work."""

    def __init__(self, folder: Path) -> None:
        processes = [*start_on(1, folder), *start_on(2, folder)]
        self.errors = [process.communicate(timeout=300)[1] for process in processes]
        for process, error in zip(processes, self.errors, strict=True):
            assert process.returncode == 0, error[-3000:]
        self.one, self.two = (torch.load(folder / f"{ranks}.pt", weights_only=True) for ranks in (1, 2))
        self.folders = [folder / str(ranks) for ranks in (1, 2)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("ranks"))


def assert_close(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(torch.as_tensor(two[name]), torch.as_tensor(value), rtol=1e-4, atol=1e-5), name


def test_every_case_is_tested(runs: Runs) -> None:
    assert set(CASES) == set(runs.one) - {"scores", "norms", "standing", "trajectory", "SNGAN", "plan"}


# Trap: alternating players under DDP, and gathers that lose or double the gradient.
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_train_exactly_like_one_with_the_whole_batch(case: str, runs: Runs) -> None:
    one, two = runs.one[case], runs.two[case]
    assert one["clock"] == two["clock"] > 0
    assert_close(one["state"], two["state"])


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_log_what_one_logs(case: str, runs: Runs) -> None:
    one, two = ({**run[case]["logged"]} for run in (runs.one, runs.two))
    penalties = {"loss/r1", "loss/r2", "loss/gradient_penalty"}
    if "extensions" in case:
        penalties |= {"loss/toy", "toy/strength"}
    elif case != "R3GAN":  # which has no mapping network
        penalties |= {"loss/path_length", "path_length/mean"}
    assert {"loss/generator", "loss/discriminator", "gradient_norm/generator", *penalties} <= one.keys()
    if case == "local":  # chance is another for the smaller batches
        for logged in (one, two):
            del logged["contrast/loss_above_chance"]
    assert_close(one, two)


@pytest.mark.parametrize("case", CASES)
def test_ranks_hold_the_same_weights_bit_by_bit(case: str, runs: Runs) -> None:
    assert runs.two[case]["ranks_agree"]


def test_two_ranks_follow_the_published_trajectory(runs: Runs) -> None:
    for found in (runs.one["trajectory"], runs.two["trajectory"]):
        assert set(found) == {1, 5, 20}
        assert max(value for values in found.values() for value in values.values()) < 1e-10


def test_ranks_agree_on_what_normalisation_moves(runs: Runs) -> None:
    assert runs.one["norms"]
    assert runs.two["norms"]  # compared bit by bit after every step


# docs/backbones/sngan.md, "On several devices"
def test_sngan_on_two_ranks_agrees_with_itself_and_not_with_one(runs: Runs) -> None:
    one, two = runs.one["SNGAN"], runs.two["SNGAN"]
    assert one["clock"] == two["clock"] == 16  # two ranks were compared bit by bit after every step
    moving = [name for name in one["state"] if name.startswith("generator.") and name.endswith("running_mean")]
    assert moving
    assert not any(torch.allclose(one["state"][name], two["state"][name], rtol=1e-4, atol=1e-5) for name in moving)
    # its own share of 4 instead of 8 images is another normalisation, and not another training
    for name, value in one["state"].items():
        if name.startswith(("generator.", "discriminator.")) and value.is_floating_point() and value.dim() > 1:
            apart = (two["state"][name] - value).norm() / value.norm()
            assert apart < 0.2, name


def test_ranks_agree_on_standing_statistics(runs: Runs) -> None:
    assert runs.one["standing"]
    assert runs.two["standing"]


def test_ranks_compute_convolutions_alike_whatever_each_has_timed(runs: Runs) -> None:
    assert set(runs.two["plan"].values()) == {"winograd", "columns"}
    written = read_plan((runs.folders[1] / "plan" / "convolutions.yaml").read_text())
    assert written.chosen == runs.two["plan"]


def test_scores_of_the_same_weights_are_the_same(runs: Runs) -> None:
    assert len(runs.one["scores"]) == 4
    assert runs.two["scores"] == pytest.approx(runs.one["scores"], rel=1e-9)


@pytest.mark.parametrize("picture", ["real.png", "kimg_00000.000.png"])
def test_pictures_of_the_same_weights_are_the_same(picture: str, runs: Runs) -> None:
    one, two = (folder / "samples" / picture for folder in runs.folders)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("drift", "named"),
    [
        ("one_bit", ["discriminator.b4.out.weight (rank 1)"]),
        ("averages", ["path_length_mean", "generator.mapping.w_avg", "generator_ema.mapping.w_avg", "and 1 more"]),
        ("moment", ["exp_avg_sq of generator.mapping.fc0.weight in the optimizer of the generator (rank 1)"]),
        ("clock", ["clock (rank 1)"]),
    ],
)
def test_a_run_whose_ranks_drift_stops_before_it_overwrites_a_checkpoint(
    drift: str, named: list[str], runs: Runs
) -> None:
    outcome = runs.two["drifts"][drift]
    assert all(text in outcome["message"] for text in named), outcome["message"]
    assert "drifted apart at 0.032 kimg" in outcome["message"]
    assert outcome["exit_code"] == 1
    assert [error.count(outcome["message"]) for error in runs.errors] == [0, 1, 0]  # rank zero says it
    folder = runs.folders[1] / drift / "checkpoints"
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert int(saved["state_dict"]["images_seen"]) == 16
    assert not list(folder.glob("*partial*"))


def test_ranks_with_other_data_seeds_or_settings_do_not_start(runs: Runs) -> None:
    outcome = runs.two["different data"]
    for text in ("the seed (0 on rank 0, 1 on rank 1)", "the size of the data set (16 on rank 0, 15 on rank 1)"):
        assert text in outcome["message"]
    assert "and 1 more" in outcome["message"]  # the setting model.r1_gamma, and not data.root
    assert (outcome["exit_code"], outcome["clock"]) == (2, 0)
