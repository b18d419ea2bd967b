"""Shipped configurations of BigGAN and U-Net GAN, through the real command line."""

from pathlib import Path
from typing import Any

import pytest

from dualgan.cli.lightning import parse_fit
from dualgan.commands.complexity import build
from dualgan.terminal.configs import resolve_configs
from tests.cli.test_attention_configs import SHIPPED, config_words

OVER = {
    "biggan": ("ffhq",),
    "unet": ("ffhq",),
    "unet_stylegan2": ("church",),
    "biggan_cifar10": (),
    "biggan_imagenet": ("limited/animal_face_128",),
}


def parsed(*names: str) -> Any:
    return parse_fit(resolve_configs(config_words(names)))


@pytest.mark.parametrize(
    ("name", "networks", "loss", "tasks", "batch"),
    [
        ("biggan", "BigGANGenerator BigGANDiscriminator", "Hinge", [], 20),
        ("unet", "BigGANGenerator UNetDiscriminator", "NonSaturating", ["CutMix"], 20),
        ("unet_stylegan2", "StyleGAN2Generator UNetDiscriminator", "NonSaturating", ["CutMix"], 32),
        ("biggan_cifar10", "BigGANGenerator BigGANDiscriminator", "Hinge", [], 50),
        ("biggan_imagenet", "BigGANGenerator BigGANDiscriminator", "Hinge", [], 2048),
    ],
)
def test_they_have_the_published_settings(
    name: str, networks: str, loss: str, tasks: list[str], batch: int, in_empty_folder: Path
) -> None:
    config = parsed(*OVER[name], name)
    model, data = config.model, config.data.init_args
    made = build(config)
    assert [type(made[player]).__name__ for player in ("generator", "discriminator")] == networks.split()
    assert model.loss.class_path.rpartition(".")[2] == loss
    assert [task.class_path.rpartition(".")[2] for task in model.auxiliary or ()] == tasks
    assert (data.batch_size, model.r1_gamma) == (batch, 0)
    if name == "unet_stylegan2":
        assert (model.learning_rate, model.path_length_weight, model.style_mixing) == (0.002, 2, 0.9)
        assert model.discriminator_adam.learning_rate == 5e-4
        return
    assert (model.path_length_weight, model.style_mixing, model.ema_decay) == (0, 0, 0.9999)
    rates = (model.generator_adam.learning_rate, model.discriminator_adam.learning_rate)
    published = {"biggan_cifar10": (None, None), "biggan_imagenet": (1e-4, 4e-4)}.get(name, (1e-4, 5e-4))
    starts = {"biggan_cifar10": 4 * 50 * 1000, "biggan_imagenet": 2048 * 20_000}.get(name, 20 * 21_000)
    assert rates == published
    assert model.ema_start_kimg * 1000 == starts
    assert model.betas == (0, 0.999)
    if name == "biggan_cifar10":
        assert (model.d_steps, model.learning_rate, data.use_labels) == (4, 2e-4, True)


@pytest.mark.parametrize("method", ["apa", "ada", "ada_linear", "diffaugment", "fakeclr", "contr", "ortho"])
def test_methods_go_over_biggan(method: str, in_empty_folder: Path) -> None:
    config = parsed("biggan_cifar10", "data_10k", method)
    assert config.data.init_args.subset == 10_000
    if method == "contr":
        assert config.model.loss.class_path.endswith("DualContrastive")
    elif method == "ortho":
        (task,) = config.model.auxiliary
        assert (task.init_args.weight, task.init_args.generator) == (1e-4, 1e-4)
    else:
        assert config.model.augmentation is not None


def test_each_says_where_it_is_from() -> None:
    for name in OVER:
        first, *others = SHIPPED[name].read_text().splitlines()[:4]
        assert first.startswith("# ")
        assert any("et al." in line or "paper" in line for line in [first, *others])
