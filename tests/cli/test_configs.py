"""Every shipped configuration through the real command line."""

import inspect
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualgan.cli.lightning import parse_fit
from dualgan.cli.main import main
from dualgan.networks import Generator, Network
from dualgan.terminal.configs import resolve_configs
from tests.conftest import NETWORKS, QUIET, RunCLI, words

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted(path for path in FOLDER.glob("*.yaml") if "_attn" not in path.stem)  # test_attention_configs.py
RENDERED = ("clevr_demo", "clevr32")  # they need no images
PAPER = [path for path in CONFIGS if path.stem not in RENDERED]
SMALL = (
    *NETWORKS,
    *QUIET,  # again: those before a configuration are overridden by it
    *words(
        "--data.resolution 8 --data.batch_size 4 --data.num_val 4 --trainer.max_steps 1 --trainer.precision 32-true"
    ),
)


def ids(path: Path) -> str:
    return path.stem


def printed(run_cli: RunCLI, *words: object) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(run_cli.succeeds("fit", *words, "--print_config"))
    return config


@pytest.fixture(scope="module")
def printed_configs() -> dict[str, dict[str, Any]]:
    """Every configuration with all defaults filled in."""
    found = {}
    for path in CONFIGS:
        with redirect_stdout(StringIO()) as out:
            assert main(["fit", "--config", str(path), "--print_config"]) == 0
        found[path.stem] = yaml.safe_load(out.getvalue())
    return found


def test_all_rows_are_there() -> None:
    sets = ("church", "bedroom", "horse", "ffhq", "clevr")
    assert {path.stem for path in CONFIGS} == {*RENDERED, *sets, *(f"{name}_contr" for name in sets)}


@pytest.mark.parametrize("config", PAPER, ids=ids)
def test_trains_on_photographs(config: Path, run_cli: RunCLI, photographs: Path, in_empty_folder: Path) -> None:
    run_cli.succeeds("fit", "--config", config.name, "--data.root", photographs, *SMALL)
    assert (in_empty_folder / "runs" / config.stem / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("name", RENDERED)
def test_trains_on_its_scenes(name: str, run_cli: RunCLI, in_empty_folder: Path) -> None:
    run_cli.succeeds("fit", "--config", f"{name}.yaml", *SMALL, "--data.num_images", 8)
    assert (in_empty_folder / "runs" / name / "checkpoints" / "last.ckpt").is_file()


def test_demo_trains_on_photographs(run_cli: RunCLI, photographs: Path, in_empty_folder: Path) -> None:
    run_cli.succeeds("fit", "--config", "clevr_demo.yaml", "--data", "ImageFolder", "--data.root", photographs, *SMALL)
    assert (in_empty_folder / "runs" / "clevr_demo" / "checkpoints" / "last.ckpt").is_file()


def test_printed_configurations_read_back_the_same(
    printed_configs: dict[str, dict[str, Any]], run_cli: RunCLI, in_empty_folder: Path
) -> None:
    for name, first in printed_configs.items():
        (in_empty_folder / "printed.yaml").write_text(yaml.safe_dump(first))
        assert printed(run_cli, "--config", "printed.yaml") == first, name


@pytest.mark.parametrize("config", PAPER, ids=ids)
def test_follows_the_paper_protocol(config: Path, printed_configs: dict[str, dict[str, Any]]) -> None:
    found = printed_configs[config.stem]
    model, data = found["model"], found["data"]["init_args"]
    wanted = {
        "total_kimg": 25_000, "learning_rate": 0.002, "betas": [0.0, 0.99], "r1_gamma": 100, "d_reg_interval": 16,
        "g_reg_interval": 4, "path_length_weight": 2, "style_mixing": 0.9, "ema_kimg": 10, "r2_gamma": 0,
    }  # fmt: skip
    assert {name: model[name] for name in wanted} == wanted
    for player in ("generator", "discriminator"):
        assert model[player].get("init_args", {}).get("channel_base", 16384) == 16384  # config E
    assert (data["batch_size"], data["resolution"]) == (32, 256)
    assert data["mirror"] == config.stem.startswith("ffhq")
    name = config.stem.removesuffix("_contr")
    assert data["root"] == f"data/{name}"
    kind = found["data"]["class_path"].rpartition(".")[2]
    assert (kind, data.get("category")) == {
        "ffhq": ("FFHQ", None), "clevr": ("CLEVR", None), "church": ("LSUN", "church_outdoor"),
    }.get(name, ("LSUN", name))  # fmt: skip
    assert (data["subset"], data["reference"]) == (None, "full")
    loss = "DualContrastive" if config.stem.endswith("_contr") else "NonSaturating"
    assert model["loss"]["class_path"].rpartition(".")[2] == loss


@pytest.mark.parametrize("config", PAPER, ids=ids)
def test_missing_images_name_the_download_and_the_place(config: Path, run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", "--config", config)
    assert "data/" in error
    assert "http" in error
    assert "licence" in error.lower() or "license" in error.lower() or "non-commercial" in error.lower()


DEVICES = {
    "one_gpu": ("gpu", 1, 1, 32), "one_node": ("gpu", 8, 1, 32), "two_nodes": ("gpu", 8, 2, 64),
    "eight_nodes": ("gpu", 8, 8, 256), "cpu_2procs": ("cpu", 2, 1, 32), "slurm": ("auto", "auto", 1, 32),
}  # fmt: skip


def test_every_file_for_devices_is_parsed_over_a_row_of_the_paper() -> None:
    assert {path.stem for path in (FOLDER / "trainer").glob("*.yaml")} == DEVICES.keys()
    for name, expected in DEVICES.items():
        options = parse_fit(resolve_configs(["--config", "church_contr.yaml", "--config", f"{name}.yaml"]))
        trainer, batch_size = options.trainer, options.data.init_args.batch_size
        assert (trainer.accelerator, trainer.devices, trainer.num_nodes, batch_size) == expected
        if name != "slurm":
            assert batch_size % (4 * trainer.devices * trainer.num_nodes) == 0  # whole minibatch-std groups


def test_files_for_devices_are_found_by_name(run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", *SMALL, *words("--data SyntheticCLEVR --config one_nodes.yaml"))
    assert "did you mean 'one_node.yaml'?" in error


@pytest.mark.parametrize(
    "name", sorted(n for n in Network.registry if Network.registry[n].__module__.startswith("dualgan."))
)
def test_a_network_that_is_named_alone_has_its_own_defaults(name: str) -> None:
    network = Network.registry[name]
    player = "generator" if issubclass(network, Generator) else "discriminator"
    options = parse_fit(["--data", "SyntheticCLEVR", f"--model.{player}", name])
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(network).parameters.items()
        if key not in ("resolution", "num_channels", "num_classes")
    }
    assert options.model[player].init_args.as_dict() == defaults
