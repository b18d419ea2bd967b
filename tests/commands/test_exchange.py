"""`dualgan export`, `dualgan import`, and training from what they write."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from dualgan import load_generator
from dualgan.networks.attention import SAN
from dualgan.version import __version__
from dualgan.weights.checkpoints import load_discriminator, read_checkpoint, read_networks
from tests.conftest import RunCLI, words
from tests.weights.official.official_files import official_content, players, write_official

PLAYERS = ("generator.", "generator_ema.", "discriminator.")
DATA = words("--data SyntheticCLEVR --data.num_images 16 --data.batch_size 8 --data.num_val 8")


def weights(path: Path | str) -> dict[str, torch.Tensor]:
    state = read_networks(path)["state_dict"]
    return {name: value for name, value in state.items() if name.startswith(PLAYERS)}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_survives_export_bit_by_bit(run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
    ckpt = finished_run() / "checkpoints" / "last.ckpt"
    run_cli.succeeds("export", "--ckpt", ckpt, "--out", "all.safetensors", "--what", "all")
    assert_same(weights(ckpt), weights("all.safetensors"))
    run_cli.succeeds("export", "--ckpt", "all.safetensors", "--out", "one.safetensors")
    z = torch.randn(3, 16)
    images = load_generator(ckpt)(z, noise_mode="const")
    for path in ("all.safetensors", "one.safetensors"):
        assert torch.equal(load_generator(path)(z, noise_mode="const"), images)
    with pytest.raises(ValueError, match=r"one\.safetensors holds no discriminator"):
        load_discriminator("one.safetensors")
    description = json.loads(Path("one.safetensors.json").read_text())
    assert description["provenance"] == {"source": "all.safetensors", "source_version": __version__, "kimg": 0.016}
    assert "discriminator" not in description
    assert description["generator"]["class_name"] == "StyleGAN2Generator"


def test_attention_and_classes_survive_export(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    path = checkpoint(num_classes=3, attention=partial(SAN, footprint=3), attention_resolution=8)
    run_cli.succeeds("export", "--ckpt", path, "--out", "a.safetensors")
    z, labels = torch.randn(3, 8), torch.arange(3)
    G, original = load_generator("a.safetensors"), load_generator(path)
    assert G.describe() == original.describe()
    assert torch.equal(G(z, labels, noise_mode="const"), original(z, labels, noise_mode="const"))


def test_graph_is_described_beside(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    out = run_cli.succeeds("export", "--ckpt", checkpoint(), "--out", "a.pt2", "--batch_size", 2)
    assert "Largest difference of the loaded program" in out
    description = json.loads(Path("a.pt2.json").read_text())
    assert description["inputs"] == {"z": [2, 8], "truncation_psi": []}
    assert description["difference"] < 1e-3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--out a.bin", ".safetensors, .onnx, .pt2"),
        ("--out a.safetensors --noise none", "noise has no effect on .safetensors"),
        ("--out a.onnx --what all", "what has no effect on .onnx"),
        ("--out a.pt2 --batch_size 0", "batch_size 0"),
    ],
)
def test_bad_settings_of_export(options: str, expected: str, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    assert expected in run_cli.fails("export", "--ckpt", checkpoint(), *words(options))


def test_imported_networks_generate_evaluate_and_train_on(run_cli: RunCLI, in_empty_folder: Path) -> None:
    G, _ = players(conv_clamp=256)
    official = write_official(in_empty_folder / "official.pkl", official_content(G, players(conv_clamp=256)[1]))
    out = run_cli.succeeds("import", official, "--out", "ours.safetensors")
    assert "dualgan fit --config ours.yaml" in out
    assert_same(weights(official), weights("ours.safetensors"))
    for ckpt, folder in ((official, "one"), ("ours.safetensors", "two")):
        run_cli.succeeds("generate", "--ckpt", ckpt, "--seeds", "3", "--out", folder)
    assert Path("one/seed000003.png").read_bytes() == Path("two/seed000003.png").read_bytes()
    real = ("--data", "SyntheticCLEVR", "--data.num_images", 16, "--resolution", 8, "--num_fake", 8, "--num_real", 8)
    run_cli.succeeds(
        "evaluate", "--ckpt", "ours.safetensors", *real, "--extractor", "efficientnet_lite0", "--metrics", "fddf"
    )
    assert (in_empty_folder / "metrics.json").is_file()

    run = ("--data.resolution", 8, "--model.total_kimg", 0.016, "--run_dir", "run")
    run_cli.succeeds("fit", "--config", "ours.yaml", *DATA, *run)
    last = in_empty_folder / "run" / "checkpoints" / "last.ckpt"
    tuned, start = weights(last), weights(official)
    assert read_checkpoint(last)["state_dict"]["images_seen"] == 16
    moved = [float((tuned[name] - start[name]).abs().max()) for name in start if name.endswith("weight")]
    assert 0 < max(moved) < 0.1  # two steps of Adam, and not other random weights
    run_cli.succeeds("generate", "--ckpt", last, "--seeds", "3", "--out", "tuned")
    settings = yaml.safe_load(Path("run/config.yaml").read_text())
    assert settings["init_from"] == "ours.safetensors"
    assert settings["model"]["generator"]["init_args"]["conv_clamp"] == 256


def test_import_says_what_it_wants(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    assert "dualgan import FILE.pkl" in run_cli.fails("import", "--out", "a.safetensors")
    assert "no .pkl file" in run_cli.fails("import", checkpoint(), "--out", "a.safetensors")
    assert ".safetensors" in run_cli.fails("import", "a.pkl", "--out", "a.ckpt")
    assert "no file at a.pkl" in run_cli.fails("import", "a.pkl", "--out", "a.safetensors")


def test_exports_hold_no_training_to_go_on_with(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    run_cli.succeeds("export", "--ckpt", checkpoint(), "--out", "a.safetensors")
    options = ("--data.resolution", 8, "--ckpt_path", "a.safetensors")
    assert "--init_from a.safetensors" in run_cli.fails("fit", *DATA, *options)


def test_weights_of_other_networks_are_refused(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    options = ("--data.resolution", 8, "--model.generator", "StyleGAN2Generator", "--model.generator.channel_base", 64)
    error = run_cli.fails("fit", *DATA, *options, "--model.generator.z_dim", 16, "--init_from", checkpoint())
    assert "made.ckpt does not fit" in error
    assert "z_dim 8" in error


DAMAGED = {
    "cut off": lambda content: content[:-10],
    "not safetensors": lambda content: b"hello",
    "another writer's": lambda content: content.replace(b'"dualgan"', b'"another"', 1),
    "another network": lambda content: content.replace(b"StyleGAN2Generator", b"StyleGAN2Geneyator"),
    "newer": lambda content: content.replace(b'format_version\\": 4', b'format_version\\": 9'),
    "a million layers": lambda content: content.replace(b'mapping_layers\\": 2, ', b'mapping_layers\\": 9e9'),
    "other shapes": lambda content: content.replace(b'w_dim\\": 8', b'w_dim\\": 9'),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_safetensors_are_refused(
    damage: Callable[[bytes], bytes], run_cli: RunCLI, checkpoint: Callable[..., Path]
) -> None:
    run_cli.succeeds("export", "--ckpt", checkpoint(), "--out", "a.safetensors")
    content = Path("a.safetensors").read_bytes()
    assert damage(content) != content
    Path("a.safetensors").write_bytes(damage(content))
    assert "a.safetensors" in run_cli.fails("generate", "--ckpt", "a.safetensors", "--out", "out")
