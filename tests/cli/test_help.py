"""What the command line says about itself."""

import argparse
from collections.abc import Iterator

import pytest

from dualgan.cli.lightning import DualGANCLI
from dualgan.cli.main import COMMANDS, TRAINER_VERBS
from dualgan.cli.parser import Parser
from dualgan.data import ImageDataModule
from dualgan.version import __version__
from tests.conftest import RunCLI

VERBS = tuple(TRAINER_VERBS | COMMANDS)
OURS = (
    "model.",
    "data",
    "quality.",
    "samples.",
    "attention_maps.",
    "checkpoints.",
    "ranks.",
    "predictions.",
    "wandb.",
    "run_dir",
)


def actions() -> Iterator[argparse.Action]:
    parser = Parser()
    cli = DualGANCLI.__new__(DualGANCLI)
    cli.seed_everything_default = 0
    from pytorch_lightning import Trainer

    from dualgan.data import ImageDataModule
    from dualgan.gan import GAN

    cli.trainer_class, cli.trainer_defaults, cli.auto_configure_optimizers = Trainer, {}, False
    cli._model_class, cli.subclass_mode_model = GAN, False
    cli.datamodule_class = cli._datamodule_class = ImageDataModule
    cli.subclass_mode_data = True
    cli._add_arguments(parser)
    yield from parser._actions


def test_version(run_cli: RunCLI) -> None:
    assert run_cli.succeeds("--version").strip() == f"dualgan {__version__}"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_overview_names_every_verb(words: list[str], run_cli: RunCLI) -> None:
    out = run_cli.succeeds(*words)
    assert all(f"  {verb}" in out for verb in VERBS)


def test_every_argument_of_ours_has_help() -> None:
    ours = [action for action in actions() if action.dest.startswith(OURS)]
    assert len(ours) > 40
    assert not [action.dest for action in ours if not action.help or action.help == argparse.SUPPRESS]


def test_checkpoints_by_name_are_explained(run_cli: RunCLI) -> None:
    out = " ".join(run_cli.succeeds("fit", "--help").split())
    assert "--ckpt_path CKPT_PATH Checkpoint to go on from: a FILE, or last or best" in out
    assert "auto, which is last where there is one" in out


@pytest.mark.parametrize("dataset", sorted(ImageDataModule.registry))
def test_every_argument_of_a_data_set_has_help(dataset: str, run_cli: RunCLI) -> None:
    out = " ".join(run_cli.succeeds("fit", "--data.help", dataset).split())
    assert "resolution" in out
    assert "(type:" in out
    for option in out.split("--data.")[1:]:
        explanation = option.split("(")[0].split(None, 1)
        assert len(explanation) == 2, option


def test_attention_explains_its_arguments(run_cli: RunCLI) -> None:
    out = run_cli.succeeds("attention", "--help")
    for name in ("--ckpt", "--seeds", "--positions", "--truncation_psi", "--out", "--label"):
        assert name in out


def test_generate_explains_its_arguments(run_cli: RunCLI) -> None:
    out = run_cli.succeeds("generate", "--help")
    for name in ("--ckpt", "--seeds", "--truncation_psi", "--out", "--grid", "--label", "--noise_mode"):
        assert name in out
    assert "needs neither data nor configuration" in " ".join(out.split())


def test_inspect_explains_its_arguments(run_cli: RunCLI) -> None:
    out = run_cli.succeeds("inspect", "--help")
    for name in (
        "data",
        "--out",
        "--resolution",
        "--rows",
        "--columns",
        "--seed",
        "--near_distance",
        "--json",
        "--crop",
    ):
        assert name in out
