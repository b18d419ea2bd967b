"""Exported graphs give the generator's images."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from dualgan.networks import StyleGAN2Generator
from dualgan.networks.attention import DFN, SAN
from dualgan.networks.attention.base import SelfAttention
from dualgan.weights import graphs
from dualgan.weights.graphs import GeneratorGraph, write_graph
from tests.weights.official.official_files import players


def small_generator(
    num_classes: int = 0, attention: type[SelfAttention] | None = None, noise: bool = True
) -> StyleGAN2Generator:
    """A generator whose noise, if it has any, and mean w are on."""
    torch.manual_seed(0)
    made = None if attention is None else partial(attention, footprint=1) if attention is SAN else attention
    G = StyleGAN2Generator(
        8, 1, num_classes, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64, channel_max=8,
        attention=made, attention_resolution=8 if attention else None, noise=noise,
    )  # fmt: skip
    for name, tensor in G.state_dict().items():
        if name.endswith(("noise_strength", "w_avg")):
            tensor.normal_()
    return G.eval().requires_grad_(False)


def synthesize(G: StyleGAN2Generator, ws: Tensor, noise: dict[str, Tensor]) -> Tensor:
    images: Tensor = torch.func.functional_call(G.synthesis, noise, (ws,), {"noise_mode": "const"})
    return images


@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
def test_graphs_of_a_short_run_are_truncated_towards_the_corrected_mean_of_every_class(
    ending: str, tmp_path: Path
) -> None:
    G = small_generator(num_classes=2)
    G.mapping.w_avg.zero_()
    labels = torch.tensor([0, 1, 1, 1])
    for _ in range(5):
        G.mapping.track(G.mapping(torch.randn(4, 4), labels)[:, 0], labels)
    assert write_graph(G, tmp_path / f"a{ending}", {}).difference < 1e-4
    names = ["z", "labels", "truncation_psi"]
    run = (graphs._onnx_runner if ending == ".onnx" else graphs._program_runner)(tmp_path / f"a{ending}", names)
    with torch.no_grad():
        images = run(torch.randn(2, 4), torch.arange(2), torch.tensor(0.0))
    ws = G.mapping.mean_w(torch.arange(2))[:, None].expand(-1, G.num_ws, -1)
    torch.testing.assert_close(images, G.synthesis(ws, noise_mode="const"), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(images[0], images[1], atol=1e-2)


def test_onnx_graph_takes_classes_truncation_and_noise_and_any_batch(tmp_path: Path) -> None:
    G = small_generator(num_classes=3, attention=SAN)
    written = write_graph(G, tmp_path / "a.onnx", {"of": "a test"}, noise="input")
    assert written.difference < 1e-3
    assert written.inputs["noise_b8_conv0"] == ["N", 1, 8, 8]
    (metadata,) = onnx.load(tmp_path / "a.onnx").metadata_props
    assert json.loads(metadata.value) == {"of": "a test"}

    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == list(written.inputs)
    for count in (1, 4):
        z, labels = torch.randn(count, 4), torch.arange(count) % 3
        maps = {
            name: torch.randn(count, *map(int, shape[1:])) for name, shape in written.inputs.items() if "noise" in name
        }
        given = {"z": z, "labels": labels, **maps}
        (images,) = session.run(
            None, {k: v.numpy() for k, v in given.items()} | {"truncation_psi": np.array(0.5, np.float32)}
        )
        ws = G.mapping(z, labels, truncation_psi=0.5)
        noise = {f"{k.removeprefix('noise_').replace('_', '.')}.noise_const": v for k, v in maps.items()}
        torch.testing.assert_close(torch.from_numpy(images), synthesize(G, ws, noise), rtol=0, atol=1e-3)


def test_program_gives_the_generators_images(tmp_path: Path) -> None:
    G = small_generator()
    written = write_graph(G, tmp_path / "a.pt2", {"of": "a test"})
    assert written.inputs == {"z": ["N", 4], "truncation_psi": []}
    extra = {"dualgan": ""}
    program = torch.export.load(tmp_path / "a.pt2", extra_files=extra).module()
    assert json.loads(extra["dualgan"]) == {"of": "a test"}
    z = torch.randn(5, 4)
    expected = G(z, truncation_psi=0.7, noise_mode="const")
    torch.testing.assert_close(program(z, torch.tensor(0.7)), expected, rtol=0, atol=1e-5)
    assert not list(tmp_path.glob("*partial*"))


@pytest.mark.parametrize("noise", ["const", "none"])
def test_graph_has_the_noise_that_was_asked_for(noise: str) -> None:
    G, z = small_generator(), torch.randn(2, 4)
    expected = G(z, truncation_psi=0.7, noise_mode=noise)
    torch.testing.assert_close(GeneratorGraph(G, noise)(z, torch.tensor(0.7)), expected)


def test_unknown_noise_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'random': expected one of const, none, input"):
        GeneratorGraph(small_generator(), "random")


def test_a_generator_without_noise_is_exported_and_takes_none(tmp_path: Path) -> None:
    G = small_generator(noise=False)
    assert write_graph(G, tmp_path / "a.onnx", {}).difference < 1e-3
    for noise in ("input", "none"):
        with pytest.raises(
            ValueError, match=rf"noise '{noise}' has no effect: this generator has no layers with noise"
        ):
            write_graph(G, tmp_path / "b.onnx", {}, noise=noise)


def test_each_sample_may_have_a_noise_map_of_its_own() -> None:
    G, _ = players()
    G.synthesis.b4.conv1.noise_strength.fill_(0.5)  # type: ignore[union-attr, operator]
    ws = G.mapping(torch.randn(2, 8))
    maps = torch.randn(2, 1, 4, 4)
    both = synthesize(G, ws, {"b4.conv1.noise_const": maps})
    for k in range(2):
        alone = synthesize(G, ws[k : k + 1], {"b4.conv1.noise_const": maps[k, 0]})
        torch.testing.assert_close(both[k : k + 1], alone)
    assert not torch.allclose(both, synthesize(G, ws, {"b4.conv1.noise_const": maps.flip(0)}))


def test_a_file_that_disagrees_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match=r"a\.pt2 differ from the generator's by .*not kept"):
        write_graph(small_generator(), tmp_path / "a.pt2", {}, batch_size=1)
    assert not list(tmp_path.iterdir())


def test_filters_per_sample_need_a_batch_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"DFN.*--batch_size"):
        write_graph(small_generator(attention=DFN), tmp_path / "a.onnx", {})
    assert not list(tmp_path.iterdir())
