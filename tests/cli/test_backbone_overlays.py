"""Another backbone goes over a set's configuration, whatever that has set for StyleGAN2."""

from pathlib import Path

import pytest

from dualgan.cli.lightning import parse_fit
from dualgan.terminal.configs import resolve_configs
from dualgan.training.averaging import DEFAULT_HALF_LIFE
from tests.cli.test_attention_configs import config_words

OVERLAYS = ("biggan", "biggan_imagenet", "unet", "unet_stylegan2", "sngan", "stylegan")


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", ["clevr_demo", "obama", "lfw100", "cifar10"])
def test_nothing_of_the_other_recipe_is_left(name: str, overlay: str, in_empty_folder: Path) -> None:
    model = parse_fit(resolve_configs(config_words((name, overlay)))).model
    assert (model.r2_gamma, model.gradient_penalty) == (0, 0)
    if model.ema_decay is not None:  # refused together with a half-life
        assert (model.ema_kimg, model.ema_rampup) == (DEFAULT_HALF_LIFE, None)
    if overlay != "stylegan":
        assert model.r1_gamma == 0
