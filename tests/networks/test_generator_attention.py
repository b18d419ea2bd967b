"""Attention in StyleGAN2's generator: its place, its description, its maps."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from dualgan.losses import PathLength
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator, build_network
from dualgan.networks.attention import DFN, SAGAN, SAN, VT, ReferenceAttention, SelfAttention
from tests.networks.attention.family import switch_on

MODULES: dict[str, Callable[[int], SelfAttention]] = {
    "SAN": SAN,
    "SAN even": partial(SAN, footprint=4),
    "SAGAN": SAGAN,
    "DFN": partial(DFN, bottleneck=4),
    "VT": partial(VT, tokens=4, token_width=8),
}
every_module = pytest.mark.parametrize("name", MODULES)


def generator(attention: Any = None, attention_resolution: int | None = None, resolution: int = 16) -> Any:
    torch.manual_seed(0)
    return StyleGAN2Generator(
        resolution, z_dim=16, w_dim=16, mapping_layers=2, channel_base=512, channel_max=16,
        attention=attention, attention_resolution=attention_resolution,
    )  # fmt: skip


@every_module
@pytest.mark.parametrize("attention_resolution", [8, 16, 32])
def test_every_module_at_every_resolution_makes_images(name: str, attention_resolution: int) -> None:
    G = generator(MODULES[name], attention_resolution, resolution=32)
    for parameter in G.synthesis.get_submodule(f"b{attention_resolution}").conv1.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    z = torch.randn(2, 16)
    images = G(z, noise_mode="const")
    assert images.shape == (2, 3, 32, 32)
    assert images.isfinite().all()
    assert not torch.allclose(images, generator(resolution=32)(z, noise_mode="const"))


def test_attention_replaces_the_weight_of_one_layer_and_nothing_else() -> None:
    plain, attending = generator(), generator(SAN, 8)
    names, expected = set(attending.state_dict()), set(plain.state_dict())
    assert expected - names == {"synthesis.b8.conv1.weight"}
    assert {name.removeprefix("synthesis.b8.conv1.").split(".")[0] for name in names - expected} == {"attention"}
    for name in names & expected:
        assert attending.state_dict()[name].shape == plain.state_dict()[name].shape


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_san_at_32_has_the_papers_number_of_parameters_and_the_others_theirs() -> None:
    with torch.device("meta"):
        D = count(StyleGAN2Discriminator(256))
        total = {
            cls.__name__: D + count(StyleGAN2Generator(256, attention=cls, attention_resolution=32))
            for cls in (SAN, SAGAN, DFN, VT)
        }
    assert total["SAN"] == 48_431_651
    assert total["SAGAN"] == 48_768_547 - 9 * 512**2 + 327_681
    assert total["DFN"] == pytest.approx(177.60e6, rel=0.01)  # Table 4
    assert total["VT"] < 60e6


@every_module
def test_path_length_reaches_every_weight(name: str) -> None:
    G = generator(MODULES[name], 8)
    layer = G.synthesis.b8.conv1
    switch_on(layer)
    ws = G.mapping(torch.randn(2, 16))
    path_length = PathLength()
    torch.autograd.backward(path_length.penalty(path_length.path_lengths(G.synthesis(ws), ws), torch.tensor(0.0)))
    for parameter_name, parameter in layer.named_parameters():
        if parameter_name.endswith("weight"):
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.any(), parameter_name


@every_module
def test_bfloat16_autocast_stays_close_to_float32(name: str) -> None:
    G, z = generator(MODULES[name], 8), torch.randn(4, 16)
    switch_on(G.synthesis.b8.conv1.attention)
    exact = G(z, noise_mode="const")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = G(z, noise_mode="const")
    assert images.isfinite().all()
    assert float(((images - exact).norm() / exact.norm()).detach()) < 0.05


# --- description -----------------------------------------------------------------------------------------------------


def made_by_a_function(channels: int) -> SelfAttention:
    return SAN(channels, footprint=5)


@pytest.mark.parametrize(
    ("attention", "class_name", "options"),
    [
        (SAN, "SAN", {"footprint": 7, "normalize": False}),
        (partial(SAN, footprint=4, normalize=True), "SAN", {"footprint": 4, "normalize": True}),
        (made_by_a_function, "SAN", {"footprint": 5, "normalize": False}),
        (SAGAN, "SAGAN", {"normalize": False}),
        (DFN, "DFN", {"bottleneck": 56, "normalize": False}),
        (VT, "VT", {"tokens": 16, "token_width": 512, "normalize": False}),
    ],
    ids=["class", "partial", "function", "SAGAN", "DFN", "VT"],
)
def test_a_description_is_plain_data_that_rebuilds_the_generator(
    attention: Any, class_name: str, options: dict[str, Any]
) -> None:
    G = generator(attention, 8)
    description = json.loads(json.dumps(G.describe()))
    assert description["init_args"]["attention"] == {"class_name": class_name, "init_args": options}
    twin = build_network(description)
    assert twin.describe() == G.describe()
    twin.load_state_dict(G.state_dict())
    z = torch.randn(2, 16)
    assert torch.equal(twin(z, noise_mode="const"), G(z, noise_mode="const"))


def test_describing_draws_no_random_numbers() -> None:
    states = []
    for attention in (SAN, lambda channels: SAN(channels)):
        torch.manual_seed(3)
        G = generator(attention, 8)
        states.append(G.mapping.fc0.weight)
    assert torch.equal(*states)


def test_an_unknown_class_in_a_file_is_refused() -> None:
    description = generator(SAN, 8).describe()
    description["init_args"]["attention"] = {"class_name": "os.system", "init_args": {"command": "true"}}
    with pytest.raises(ValueError, match=r"unknown attention 'os.system'.*DFN, ReferenceAttention, SAGAN, SAN, VT"):
        build_network(description)


# --- maps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shape"), [("SAN", (7, 7)), ("SAN even", (4, 4)), ("SAGAN", (4, 4)), ("VT", (8, 8))])
def test_maps_belong_to_ws_and_position_and_repeat(name: str, shape: tuple[int, int]) -> None:
    G = generator(MODULES[name], 8)
    for module in G.modules():
        if hasattr(module, "noise_strength"):
            nn.init.constant_(module.noise_strength, 0.3)
    ws = G.mapping(torch.randn(2, 16))
    maps = G.attention_maps(ws, [(0, 0), (3, 6), (7, 7)])
    assert maps.shape == (2, 3, *shape)
    assert torch.equal(maps, G.attention_maps(ws, [(0, 0), (3, 6), (7, 7)]))
    torch.testing.assert_close(maps[1:, :1], G.attention_maps(ws[1:], [(0, 0)]))
    assert not torch.allclose(maps[0], maps[1])
    assert not torch.allclose(maps[:, 0], maps[:, 1])


def test_maps_are_those_of_the_layer_that_makes_the_images() -> None:
    G = generator(SAN, 8)
    ws = G.mapping(torch.randn(2, 16))
    seen: list[Any] = []
    handle = G.synthesis.b8.conv1.attention.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs))
    G.synthesis(ws, noise_mode="const")
    handle.remove()
    x, style = seen
    expected = G.synthesis.b8.conv1.attention.attention_map(x, [(2, 5)], style)
    torch.testing.assert_close(G.attention_maps(ws, [(2, 5)]), expected)


def test_without_maps_it_says_why() -> None:
    for attention, message in ((None, "no attention.*attention=SAN"), (DFN, "DFN has no attention map")):
        G = generator(attention, 8 if attention else None)
        with pytest.raises(ValueError, match=message):
            G.attention_maps(G.mapping(torch.randn(1, 16)), [(0, 0)])


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attention", "attention_resolution", "message"),
    [
        (SAN, None, "attention_resolution None in a generator of resolution 16.*8, 16"),
        (None, 8, "attention_resolution 8 has no effect without attention"),
        (SAN, 32, "attention_resolution 32 in a generator of resolution 16.*8, 16"),
        (SAN, 4, "attention_resolution 4 .*8, 16"),
        (SAN, 12, "attention_resolution 12 .*8, 16"),
        (partial(SAN, footprint=17), 8, "footprint 17 .*8 x 8.*15"),
        (ReferenceAttention, 8, "ReferenceAttention looks at a reference image.*DFN, SAGAN, SAN, VT"),
        (SAN(16), 8, r"instance of SAN.*functools.partial\(SAN"),
        (nn.Identity, 8, "makes a Identity: expected one of"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(
    attention: Any, attention_resolution: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        generator(attention, attention_resolution)


def test_attention_ends_at_128() -> None:
    with torch.device("meta"):
        StyleGAN2Generator(256, attention=SAN, attention_resolution=128)
        with pytest.raises(ValueError, match=r"8, 16, 32, 64, 128$"):
            StyleGAN2Generator(256, attention=SAN, attention_resolution=256)
