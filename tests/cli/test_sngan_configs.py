"""Shipped configurations of SNGAN, through the real command line."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from dualgan.cli.lightning import parse_fit
from dualgan.commands.complexity import build
from dualgan.networks import SNGANDiscriminator, SNGANGenerator
from dualgan.runs.folder import default_run_dir
from dualgan.terminal.configs import resolve_configs
from tests.cli.test_attention_configs import LARGE, ROOT, SHIPPED, config_words
from tests.conftest import QUIET, RunCLI, words

# Supplement, Table 1, in the order of LARGE
PUBLISHED = {("sngan",): (11.28, 11.14, 7.37, 13.87, 29.19), ("sngan", "contr"): (8.98, 10.79, 6.51, 13.59, 18.23)}
PAGE = (ROOT / "docs" / "backbones" / "sngan.md").read_text()
SHARED: dict[str, Any] = {
    "learning_rate": 2e-4, "betas": (0, 0.9), "d_steps": 5, "r1_gamma": 0, "path_length_weight": 0, "style_mixing": 0,
}  # fmt: skip
# Names of configurations -> kimg of the training and of the fall of the learning rate, upsampling, resolution
SETTINGS = {
    **{(name, "sngan", "contr"): (144_000, 16_000, "nearest", 256) for name in LARGE},
    ("church", "sngan"): (144_000, 16_000, "nearest", 256),
    ("sngan_cifar10",): (16_000, 16_000, "nearest", 32),
    ("sngan_cifar10", "sngan_mimicry"): (32_000, 32_000, "bilinear", 32),
    ("celeba_128", "sngan_mimicry"): (32_000, 32_000, "bilinear", 128),
}


@pytest.mark.parametrize("stack", SETTINGS, ids="+".join)
def test_settings_are_the_published_ones(stack: tuple[str, ...], in_empty_folder: Path) -> None:
    config = parse_fit(resolve_configs(config_words(stack)))
    assert default_run_dir(config.config) == Path("runs") / "+".join(stack)
    model, data = config.model, config.data.init_args
    total, fall, upsampling, resolution = SETTINGS[stack]
    assert {name: model[name] for name in SHARED} == SHARED
    assert (model.total_kimg, model.cooldown_kimg, data.batch_size, data.resolution) == (total, fall, 64, resolution)
    assert model.loss.class_path.rpartition(".")[2] == ("DualContrastive" if "contr" in stack else "Hinge")
    networks = build(config)
    with torch.device("meta"):
        expected = SNGANGenerator(resolution, upsampling=upsampling), SNGANDiscriminator(resolution)  # type: ignore[arg-type]
    assert [networks[k].describe() for k in ("generator", "discriminator")] == [n.describe() for n in expected]


@pytest.mark.parametrize("overlays", PUBLISHED, ids="+".join)
def test_published_numbers_are_in_the_file_and_on_the_page(overlays: tuple[str, ...]) -> None:
    numbers = [f"{fid:.2f}" for fid in PUBLISHED[overlays]]
    comment = "".join(line for line in SHIPPED["sngan"].read_text().split("\n") if line.startswith("#"))
    assert set(numbers) <= set(re.findall(r"\d+\.\d\d", comment))
    command = " ".join(config_words(("SET", *overlays)))
    (row,) = (line for line in PAGE.split("\n") if f"dualgan fit {command}`" in line)
    assert [cell.strip() for cell in row.split("|")[2:-2]] == numbers


def test_trains_and_keeps_no_average(run_cli: RunCLI, photographs: Path, in_empty_folder: Path) -> None:
    small = words(
        "--data.resolution 32 --data.batch_size 4 --data.num_val 4 --trainer.max_steps 6 --trainer.precision 32-true "
        "--model.generator.width 2 --model.discriminator.width 2"
    )
    stack = config_words(("church", "sngan", "contr"))
    run_cli.succeeds("fit", *stack, "--data.root", photographs, *QUIET, *small)
    (saved,) = in_empty_folder.glob("runs/church+sngan+contr/checkpoints/last.ckpt")
    state = torch.load(saved, weights_only=True)["state_dict"]
    averaged = {name.removeprefix("generator_ema."): v for name, v in state.items() if name.startswith("generator_ema")}
    assert averaged
    for name, value in averaged.items():
        if "num_batches" not in name:
            # D's later steps move the statistics of G's batch normalisation, too
            assert "running" in name or torch.equal(value, state[f"generator.{name}"]), name


def test_a_resolution_without_layers_is_refused_before_training(run_cli: RunCLI, photographs: Path) -> None:
    stack = config_words(("church", "sngan"))
    error = run_cli.fails("fit", *stack, "--data.root", photographs, *QUIET, "--data.resolution", 16)
    assert "has no layers for resolution 16: it is defined for 32, 48, 64, 128, 256" in error


def test_settings_of_other_architectures_are_refused_before_training(run_cli: RunCLI, photographs: Path) -> None:
    stack = [*config_words(("church", "sngan")), "--data.root", str(photographs), *QUIET, "--data.resolution", "32"]
    assert "style_mixing 0.9 cannot work with SNGANGenerator" in run_cli.fails(
        "fit", *stack, "--model.style_mixing", 0.9
    )
    assert "micro_batch 8 does not work with SNGANGenerator" in run_cli.fails("fit", *stack, "--model.micro_batch", 8)
