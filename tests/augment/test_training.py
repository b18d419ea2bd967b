"""Augmentations in a training, through the command line."""

import json
from pathlib import Path

import pytest
import torch

from dualgan.weights.checkpoints import read_checkpoint
from tests.cli.test_runs import assert_same_state
from tests.conftest import TINY, RunCLI, words

APA_AND_ADA = json.dumps(
    {
        "class_path": "Combined",
        "init_args": {
            "augmentations": [
                {"class_path": "APA", "init_args": {"kimg": 0.5, "p": 0.5}},
                {"class_path": "ADA", "init_args": {"transforms": "bgcfnc", "kimg": 0.5, "p": 0.5, "interval": 3}},
            ]
        },
    }
)
RUN = (*TINY, *words("--model.loss DualContrastive --model.warmup_kimg 0"), "--model.augmentation", APA_AND_ADA)


def test_a_killed_run_ends_with_the_bits_of_the_uninterrupted_one(run_cli: RunCLI, in_empty_folder: Path) -> None:
    torch.set_num_threads(1)
    whole, killed = in_empty_folder / "whole", in_empty_folder / "killed"
    snapshot = ("--trainer.callbacks", "tests.cli.snapshot.Snapshot", "--trainer.callbacks.out", killed)
    run = (
        *RUN,
        *words(
            "--model.total_kimg 1 --checkpoints.every_kimg 0.04 --trainer.max_steps 12 --trainer.log_every_n_steps 4"
        ),
    )
    said = run_cli.succeeds("fit", *run, *snapshot, "--run_dir", whole)
    assert "ADA measures overfitting by logits less the middle of their real and generated means" in said
    run_cli.succeeds("fit", *run, "--run_dir", killed, "--ckpt_path", "last")
    assert_same_state(whole / "checkpoints" / "last.ckpt", killed / "checkpoints" / "last.ckpt")
    state = read_checkpoint(whole / "checkpoints" / "last.ckpt")["state_dict"]
    apa, ada = (float(state[f"augmentation.augmentations.{k}.strength.p"]) for k in (0, 1))
    assert apa != 0.5
    assert ada != 0.5
    assert 0 < apa < 1
    header = (whole / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"ada/p", "ada/r_t", "apa/p", "apa/r_t"} <= set(header)


@pytest.mark.parametrize("words_", ["ADA --model.augmentation.transforms bgc", "APA", "DiffAugment"])
def test_each_of_them_has_a_name_on_the_command_line(words_: str, run_cli: RunCLI, in_empty_folder: Path) -> None:
    run_cli.succeeds("fit", *TINY, "--model.augmentation", *words(words_), "--run_dir", "run")
    assert f"class_path: {words_.split()[0]}" in Path("run/config.yaml").read_text().replace("dualgan.augment.", "")


def test_mistakes_are_said_before_training(run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", *TINY, *words("--model.augmentation ADA --model.augmentation.target 1.5"))
    assert "ADA: target 1.5 is out of range: expected a number between 0 and 1, such as 0.6" in error
    error = run_cli.fails("fit", *TINY, *words("--model.augmentation ADA --model.augmentation.schedule sometimes"))
    assert "adaptive" in error
    assert "cosine" in error
