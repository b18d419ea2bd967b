"""Another backbone goes over a set's configuration, whatever that has set for StyleGAN2."""

from pathlib import Path

import pytest

from dualgan.cli.lightning import parse_fit
from dualgan.terminal.configs import replaced_parts, resolve_configs
from dualgan.training.averaging import DEFAULT_HALF_LIFE
from tests.cli.test_attention_configs import config_words
from tests.conftest import RunCLI

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


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("church", "sngan"), []),  # StyleGAN2 was nobody's choice
        (("church", "g_san32", "d_ref8"), []),
        (
            ("church", "sngan", "g_san32"),
            ["g_san32.yaml puts StyleGAN2Generator in the place of SNGANGenerator of sngan.yaml"],
        ),
        (
            ("clevr_demo", "unet", "fakeclr"),
            [
                "unet.yaml puts BigGANGenerator in the place of StyleGAN2Generator of clevr_demo.yaml",
                "unet.yaml puts UNetDiscriminator in the place of StyleGAN2Discriminator of clevr_demo.yaml",
                "fakeclr.yaml puts InstanceDiscrimination in the place of CutMix of unet.yaml; "
                "--model.auxiliary+ NAME adds one to them",
            ],
        ),
        (
            ("clevr_demo", "clevr_r3gan"),
            [
                f"clevr_r3gan.yaml puts R3GAN{player} in the place of StyleGAN2{player} of clevr_demo.yaml"
                for player in ("Generator", "Discriminator")
            ],
        ),
    ],
)
def test_a_network_that_replaces_another_is_said(
    names: tuple[str, ...], said: list[str], in_empty_folder: Path
) -> None:
    words = resolve_configs(config_words(names))
    assert replaced_parts(words) == said
    assert replaced_parts([f"--config={word}" for word in words if word != "--config"]) == said


def test_the_note_is_shown(run_cli: RunCLI) -> None:
    outcome = run_cli("fit", "--config", "clevr.yaml", "--config", "sngan.yaml", "--config", "g_san32.yaml")
    assert outcome.code == 2  # there is no CLEVR
    assert outcome.err.startswith(
        "Note: g_san32.yaml puts StyleGAN2Generator in the place of SNGANGenerator of sngan.yaml.\n"
    )
