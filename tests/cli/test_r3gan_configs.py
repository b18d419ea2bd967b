"""R3GAN's configurations through the real command line: the published recipe, and dual contrast over it."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dualgan.cli.lightning import parse_fit
from dualgan.commands.complexity import build
from dualgan.losses import DualContrastive, RelativisticPairing
from dualgan.runs.folder import default_run_dir
from dualgan.terminal.configs import resolve_configs
from tests.cli.test_attention_configs import ROOT, config_words
from tests.conftest import QUIET, RunCLI, words


class Preset(NamedTuple):
    """What was published of a set; R1's and R2's strength at the start is 10 times that at the end."""

    resolution: int
    batch_size: int
    gamma: float
    ema_kimg: float
    p: float
    fid: str
    parameters: tuple[int, int]


PRESETS = {
    "r3gan_cifar10": Preset(32, 512, 0.05, 5000, 0.55, "1.96", (20_781_952, 21_280_512)),
    "r3gan_ffhq64": Preset(64, 256, 2, 500, 0.3, "1.95", (22_429_824, 22_381_440)),
    "r3gan_ffhq256": Preset(256, 256, 150, 500, 0.3, "2.75", (23_057_952, 23_009_568)),
}
STACKS = [stack for name in PRESETS for stack in ((name,), (name, f"{name}_contr"))]
SMALL = (
    *QUIET,
    *words("--model.generator.channel_max 16 --model.generator.z_dim 8 --model.discriminator.channel_max 16"),
    *words(
        "--data.resolution 8 --data.batch_size 4 --data.num_val 4 --trainer.max_steps 2 --trainer.precision 32-true"
    ),
)


def cosine(schedule: Any) -> tuple[float, float, float]:
    assert schedule.class_path.endswith(".Cosine")
    return schedule.init_args.start, schedule.init_args.end, schedule.init_args.kimg


@pytest.mark.parametrize("stack", STACKS, ids="+".join)
def test_presets_have_the_published_recipe(stack: tuple[str, ...], in_empty_folder: Path) -> None:
    config = parse_fit(resolve_configs(config_words(stack)))
    assert default_run_dir(config.config) == Path("runs") / "+".join(stack)
    model, data, preset = config.model, config.data.init_args, PRESETS[stack[0]]
    contrast = len(stack) > 1
    # N images a batch: the dual contrastive loss pulls 4 N / (N + 1) times as hard, rounded
    gamma = preset.gamma * (4 if contrast else 1)
    assert cosine(model.r1_gamma) == cosine(model.r2_gamma) == pytest.approx((gamma, gamma / 10, 20_000))
    assert model.loss.class_path == f"dualgan.losses.{(DualContrastive if contrast else RelativisticPairing).__name__}"
    assert model.warmup_kimg == (0 if contrast else None)
    assert cosine(model.learning_rate) == (2e-4, 5e-5, 20_000)
    assert (model.betas[0], *cosine(model.betas[1])) == (0, 0.9, 0.99, 20_000)
    assert cosine(model.ema_kimg) == (0, preset.ema_kimg, 20_000)
    assert (model.eps, model.d_reg_interval, model.d_steps) == (1e-8, None, 1)
    assert (model.path_length_weight, model.style_mixing) == (0, 0)
    assert (data.resolution, data.batch_size, data.mirror) == (preset.resolution, preset.batch_size, True)
    networks = build(config)
    assert tuple(sum(p.numel() for p in network.parameters()) for network in networks.values()) == preset.parameters
    augmentation = model.augmentation.init_args
    assert (augmentation.schedule, augmentation.p, augmentation.kimg) == ("cosine", preset.p, 20_000)
    strengths = augmentation.transforms
    assert {name: strengths[name] for name in ("blit", "geometric", "cutout")} == {
        "blit": 1,
        "geometric": 1,
        "cutout": 1,
    }
    colours = ("brightness", "contrast", "lumaflip", "hue", "saturation")
    assert {strengths[name] for name in colours} == {0.5}
    assert len(strengths) == 8  # neither noise nor filter
    if stack[0] == "r3gan_cifar10":
        assert (data.use_labels, model.fake_labels) == (True, "batch")


def test_the_small_ones_have_about_the_parameters_of_the_demo() -> None:
    def count(*names: str) -> list[int]:
        networks = build(parse_fit(resolve_configs(config_words(names))))
        return [sum(p.numel() for p in network.parameters()) for network in networks.values()]

    assert count("clevr_r3gan", "clevr_r3gan_contr") == pytest.approx(count("clevr_demo"), rel=0.05)


@pytest.mark.filterwarnings("ignore:(?s).*the schedule of")
@pytest.mark.parametrize("stack", [(), ("r3gan_ffhq64",), ("r3gan_ffhq64", "r3gan_ffhq64_contr")], ids="+".join)
def test_trains(stack: tuple[str, ...], run_cli: RunCLI, photographs: Path, in_empty_folder: Path) -> None:
    if stack:
        run_cli.succeeds("fit", *config_words(stack), "--data.root", photographs, *SMALL)
    else:
        stack = ("clevr_r3gan", "clevr_r3gan_contr")
        run_cli.succeeds("fit", *config_words(stack), *SMALL, "--data.num_images", 8)
    assert (in_empty_folder / "runs" / "+".join(stack) / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("name", PRESETS)
def test_files_begin_with_what_was_published(name: str) -> None:
    text = (ROOT / "configs" / "backbones" / f"{name}.yaml").read_text()
    assert re.match(rf"# .*R3GAN.*NeurIPS 2024.*FID {PRESETS[name].fid}\n", text)
    assert f"{name}_contr.yaml" in text
