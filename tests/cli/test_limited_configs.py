"""Shipped configurations of limited data: sets, and methods as overlays, through the real command line."""

import re
from pathlib import Path

import pytest
import torch

from dualgan.auxiliary.method import PRESETS
from dualgan.cli.lightning import parse_fit
from dualgan.commands.complexity import build
from dualgan.runs.folder import default_run_dir
from dualgan.terminal.configs import resolve_configs
from dualgan.weights.checkpoints import read_checkpoint
from tests.cli.test_attention_configs import ROOT, SHIPPED, config_words
from tests.conftest import NETWORKS, QUIET, RunCLI, words

FEW_SHOT = {"obama": 100, "grumpy_cat": 100, "panda": 100, "animal_face_cat": 160, "animal_face_dog": 389}
FFHQ = {"ffhq_100": 100, "ffhq_1k": 1000, "ffhq_2k": 2000, "ffhq_5k": 5000, "ffhq_10k": 10_000}
SETS = (*FEW_SHOT, *FFHQ, "cifar10", "lfw100")
# Class of the augmentation, its schedule, preset of the auxiliary task
METHODS: dict[str, tuple[str, str | None, str | None]] = {
    "ada": ("ADA", "adaptive", None),
    "ada_linear": ("ADA", "linear", None),
    "apa": ("APA", "adaptive", None),
    "apa_ada": ("Combined", None, None),
    "diffaugment": ("DiffAugment", None, None),
    **{name: ("ADA", "linear", name) for name in PRESETS},
    "queue_real_a": ("ADA", "linear", "instance_perturbation"),
    "queue_real_b": ("ADA", "linear", "instance_perturbation"),
}
OTHERS = {"pl_5", "pl_10", "unconditional"}


@pytest.mark.parametrize("name", SETS)
def test_sets_have_the_published_settings(name: str, in_empty_folder: Path) -> None:
    config = parse_fit(resolve_configs(config_words((name, "fakeclr"))))
    assert default_run_dir(config.config) == Path("runs") / f"{name}+fakeclr"
    model, data = config.model, config.data.init_args
    networks = build(config)
    if name == "lfw100":
        assert (data.name, data.resolution) == ("lfw100", 32)
        assert networks["discriminator"].init_args["num_channels"] == 1
        return
    assert data.batch_size == 64
    assert (model.learning_rate, model.betas, model.d_reg_interval, model.g_reg_interval) == (0.0025, (0, 0.99), 16, 4)
    arguments = networks["discriminator"].init_args
    if name == "cifar10":
        assert (model.r1_gamma, model.ema_kimg, model.ema_rampup, model.total_kimg) == (0.01, 500, 0.05, 100_000)
        assert (model.path_length_weight, model.style_mixing) == (0, 0)
        assert (arguments["residual"], arguments["minibatch_std_group"], arguments["mapping_layers"]) == (False, 32, 8)
        assert networks["generator"].init_args["mapping_layers"] == 2
        assert data.use_labels
        return
    assert (model.r1_gamma, model.ema_kimg, model.ema_rampup, model.total_kimg) == (1, 20, None, 10_000)
    assert (model.path_length_weight, model.style_mixing, data.mirror) == (2, 0.9, True)
    assert (arguments["minibatch_std_group"], arguments["resolution"]) == (8, 256)
    if name in FFHQ:
        assert (data.subset, data.reference, data.root) == (FFHQ[name], "full", "data/ffhq")
    else:
        assert (data.name, data.reference) == (name, "train")


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_what_their_names_say(name: str, in_empty_folder: Path) -> None:
    model = parse_fit(resolve_configs(config_words(("ffhq_2k", name)))).model
    augmentation, schedule, preset = METHODS[name]
    assert model.augmentation.class_path == f"dualgan.augment.{augmentation}"
    assert model.augmentation.init_args.get("schedule") == schedule
    assert [task.init_args.preset for task in model.auxiliary or ()] == ([preset] if preset else [])
    if name.startswith("queue_real"):
        (task,) = model.auxiliary
        assert (task.init_args.real_fraction, task.init_args.real_from) == (0.5, 0.5 * name.endswith("b"))


def test_the_other_overlays(in_empty_folder: Path) -> None:
    for weight in (5, 10):
        config = parse_fit(resolve_configs(config_words(("ffhq_2k", "fakeclr", f"pl_{weight}"))))
        assert config.model.path_length_weight == weight
    config = parse_fit(resolve_configs(config_words(("cifar10", "data_10k", "unconditional", "insgen"))))
    assert (config.data.init_args.subset, config.data.init_args.use_labels) == (10_000, False)


@pytest.mark.filterwarnings("ignore:(?s).*reference images")
@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_on_the_embedded_faces(name: str, run_cli: RunCLI, in_empty_folder: Path) -> None:
    small = "--data.resolution 8 --data.batch_size 4 --trainer.max_steps 2 --trainer.precision 32-true --data.num_val 4"
    run_cli.succeeds("fit", *config_words(("lfw100", name)), *NETWORKS, *QUIET, *words(small), "--run_dir", "run")
    state = read_checkpoint(Path("run/checkpoints/last.ckpt"))["state_dict"]
    assert any(key.startswith("augmentation.") for key in state) == (name != "diffaugment")
    assert any(key.startswith("tasks.") for key in state) == (METHODS[name][2] is not None)
    assert all(value.isfinite().all() for value in state.values() if isinstance(value, torch.Tensor))


def test_every_file_and_its_published_numbers_are_documented() -> None:
    text = (ROOT / "docs" / "configs.md").read_text()
    for name in (*SETS, *METHODS, *OTHERS):
        assert re.search(rf"`{name}(\.yaml)?`", text), name
        for number in re.findall(
            r"\d+\.\d+", "\n".join(SHIPPED[name].read_text().split("\nmodel:")[0].split("\n")[1:])
        ):
            assert number in text, (name, number)
