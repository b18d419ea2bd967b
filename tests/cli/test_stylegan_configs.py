"""Shipped configurations of the first StyleGAN, through the real command line."""

from pathlib import Path

import pytest
import torch

from dualgan.cli.lightning import parse_fit
from dualgan.commands.complexity import build
from dualgan.networks.growth import Plan
from dualgan.runs.folder import default_run_dir
from dualgan.terminal.configs import resolve_configs
from dualgan.weights.checkpoints import load_generator
from tests.cli.test_attention_configs import LARGE, ROOT, SHIPPED, config_words
from tests.conftest import QUIET, RunCLI, words

# Supplement, Table 1: FID without and with the dual contrastive loss
PUBLISHED = {
    "ffhq": (6.83, 6.42),
    "bedroom": (5.30, 4.76),
    "church": (5.12, 4.48),
    "horse": (7.27, 6.26),
    "clevr": (12.43, 8.96),
}


@pytest.mark.parametrize("contr", [(), ("contr",)], ids=["adv", "contr"])
@pytest.mark.parametrize("growing", [(), ("stylegan_growing",)], ids=["fixed", "growing"])
@pytest.mark.parametrize("name", LARGE)
def test_every_row_has_the_published_settings(
    name: str, growing: tuple[str, ...], contr: tuple[str, ...], in_empty_folder: Path
) -> None:
    stack = (name, "stylegan", *growing, *contr)
    config = parse_fit(resolve_configs(config_words(stack)))
    assert default_run_dir(config.config) == Path("runs") / "+".join(stack)
    model = config.model
    assert model.loss.class_path.rpartition(".")[2] == ("DualContrastive" if contr else "NonSaturating")
    assert (model.r1_gamma, model.d_reg_interval, model.path_length_weight, model.style_mixing) == (10, None, 0, 0.9)
    assert (model.betas, model.eps, model.ema_kimg, model.total_kimg) == ((0.0, 0.99), 1e-8, 10, 25_000)
    assert (config.data.init_args.batch_size, config.data.init_args.resolution) == (32, 256)
    networks = build(config)
    counts = [sum(p.numel() for p in networks[player].parameters()) for player in ("generator", "discriminator")]
    if not growing:
        assert model.learning_rate == 0.002
        assert counts == [26_078_915, 23_042_625]
        return
    assert counts == [26_086_229, 23_052_353]
    rates = model.learning_rate.init_args
    plan = Plan(256, 8, 600, 600)
    assert [network.growing and network.growing.plan for network in networks.values()] == [plan, plan]
    for kimg, rate, resolution in zip([0, *rates.at_kimg], rates["values"], (8, 128, 256), strict=True):
        assert plan.at(round(1000 * kimg) + 1).resolution == resolution  # it is the level that begins there
        assert rate == {8: 0.001, 128: 0.0015, 256: 0.002}[resolution]


def test_files_and_documentation_name_the_published_numbers() -> None:
    text = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md") if "backbones" in str(page))
    for fids in PUBLISHED.values():
        for fid in fids:
            assert f"{fid:.2f}" in SHIPPED["stylegan"].read_text()
            assert f"{fid:.2f}" in text
    for name in ("stylegan", "stylegan_growing"):
        assert f"--config {name}.yaml" in text


SMALL = (
    *QUIET,
    *words("--data.resolution 16 --data.batch_size 4 --data.num_val 4 --trainer.max_steps 1"),
    *words("--model.generator.channel_base 128 --model.discriminator.channel_base 128 --model.generator.w_dim 16"),
    *words("--trainer.precision 32-true"),
)


@pytest.mark.filterwarnings("ignore:growing to 16x16")
@pytest.mark.parametrize(
    "stack", [("church", "stylegan", "contr"), ("ffhq", "stylegan", "stylegan_growing")], ids="+".join
)
def test_trains(stack: tuple[str, ...], run_cli: RunCLI, photographs: Path, in_empty_folder: Path) -> None:
    run_cli.succeeds("fit", *config_words(stack), "--data.root", photographs, *SMALL)
    G = load_generator(in_empty_folder / "runs" / "+".join(stack) / "checkpoints" / "last.ckpt")
    assert (G.growing is not None) == ("stylegan_growing" in stack)
    assert G(torch.randn(1, 512)).shape == (1, 3, 16, 16)
