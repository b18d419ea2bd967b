"""Maps of the skip generator whose factors are left to the next layer."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from dualgan.losses import PathLength
from dualgan.networks import StyleGAN2Generator
from dualgan.networks.attention import SAN
from dualgan.networks.base import NoiseMode
from dualgan.networks.cpu.plan import Plan, computed_by
from dualgan.networks.stylegan2 import generator as module
from dualgan.networks.stylegan2.scaled import Scaled, add_outer


@pytest.fixture
def doubles() -> Iterator[None]:
    """Random numbers in float64, too."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def generator(**options: Any) -> StyleGAN2Generator:
    """Biases and strengths of the noise moved away from 0, so that they count."""
    torch.manual_seed(0)
    G = StyleGAN2Generator(16, z_dim=8, w_dim=8, mapping_layers=1, channel_base=128, channel_max=12, **options)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength") or (name.endswith("bias") and "affine" not in name):
            parameter.data = 0.5 * torch.randn_like(parameter)
    return G


def maps_of(G: StyleGAN2Generator) -> list[Scaled]:
    """What the blocks give, for one call."""
    found: list[Scaled] = []
    handles = [
        G.synthesis.get_submodule(name).register_forward_hook(lambda *call: found.append(call[2][0]))
        for name in G.synthesis.blocks
    ]
    G(torch.randn(2, 8))
    for handle in handles:
        handle.remove()
    return found


def images_and_gradients(G: StyleGAN2Generator, noise_mode: NoiseMode) -> list[Tensor]:
    """Of a loss with first and second derivatives."""
    torch.manual_seed(1)
    G.zero_grad()
    ws = G.mapping(torch.randn(4, 8))
    images = G.synthesis(ws, noise_mode)
    lengths = PathLength().path_lengths(images, ws, torch.randn_like(images))
    torch.autograd.backward(images.square().mean() + lengths.square().mean())
    return [images.detach(), *(torch.zeros_like(p) if p.grad is None else p.grad for p in G.parameters())]


@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("noise_mode", ["random", "const", "none"])
@pytest.mark.parametrize("options", [{}, {"attention": SAN, "attention_resolution": 8}, {"noise": False}])
def test_images_and_gradients_of_both_orders_are_the_same(
    noise_mode: NoiseMode, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    G = generator(**options)
    usual = images_and_gradients(G, noise_mode)
    monkeypatch.setattr(module, "leaves_scaled", lambda device: True)
    torch.testing.assert_close(images_and_gradients(G, noise_mode), usual, rtol=1e-9, atol=1e-11)
    assert any(features.scale is not None for features in maps_of(G))


def test_attention_looks_at_the_map_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    G = generator(attention=SAN, attention_resolution=8)
    ws = G.mapping(torch.randn(2, 8))
    usual = G.attention_maps(ws, [(2, 5)])
    monkeypatch.setattr(module, "leaves_scaled", lambda device: True)
    torch.testing.assert_close(G.attention_maps(ws, [(2, 5)]), usual)


@pytest.mark.parametrize("context", ["float32", "bfloat16", "float16", "planned", "planned bfloat16"])
def test_where_maps_are_left_scaled(context: str) -> None:
    half = torch.bfloat16 if "bfloat16" in context else torch.float16
    with (
        torch.autocast("cpu", half) if "float16" in context else nullcontext(),
        computed_by(Plan() if "planned" in context else None),
    ):
        scales = {features.scale is not None for features in maps_of(generator())}
    assert scales == {"bfloat16" in context or context == "planned"}


def test_bounded_layers_compute_what_they_bound() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = maps_of(generator(conv_clamp=0.5))
    assert all(features.scale is None and features.features.abs().max() <= 0.5 for features in found)


def test_bfloat16_is_as_near_to_float32_as_in_the_usual_order(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: dict[bool, list[Tensor]] = {False: [], True: []}
    for seed in range(4):
        G = generator()
        z = torch.randn(16, 8, generator=torch.Generator().manual_seed(seed))
        exact = G(z, noise_mode="const").detach()
        for left, found in errors.items():
            monkeypatch.setattr(module, "leaves_scaled", lambda device, left=left: left)
            with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
                found.append((G(z, noise_mode="const") - exact).norm() / exact.norm())
    usual, ours = (torch.stack(found).mean() for found in errors.values())
    assert 0 < ours < 1.2 * usual < 0.02


def test_compiled_networks_keep_the_usual_order() -> None:
    G, z = generator(), torch.randn(2, 8)
    ws = G.mapping(z).detach()
    with computed_by(Plan()):
        compiled = torch.compile(lambda ws: G.synthesis(ws, "const"), backend="eager")(ws)
    assert torch.equal(compiled, G.synthesis(ws, "const"))


def test_a_map_and_its_factor() -> None:
    features, scale, factor = torch.randn(2, 3, 4, 4), torch.rand(2, 3), torch.randn(2, 3)
    exact = features * scale[:, :, None, None]
    assert Scaled(features).map() is features
    torch.testing.assert_close(Scaled(features, scale).map(), exact)
    torch.testing.assert_close(Scaled(features, scale).times(factor), exact * factor[:, :, None, None])


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_outer_products_are_added_to_the_map_itself(layout: torch.memory_format) -> None:
    y = torch.randn(2, 3, 4, 5).contiguous(memory_format=layout)
    one, each, b, c = torch.randn(1, 1, 4, 5), torch.randn(2, 1, 4, 5), torch.randn(2, 3), torch.randn(2, 3)
    expected = y + one * b[:, :, None, None] + each * c[:, :, None, None]
    total = add_outer(y, [one, each], [b, c])
    torch.testing.assert_close(total, expected)
    assert (total.data_ptr() == y.data_ptr()) == (layout == torch.channels_last)


def test_outer_products_have_derivatives_of_any_order() -> None:
    y, b = torch.randn(2, 3, 2, 2).double().requires_grad_(), torch.randn(2, 3).double().requires_grad_()
    maps = [torch.randn(1, 1, 2, 2).double()]
    assert torch.autograd.gradcheck(lambda y, b: add_outer(y * 1, maps, [b]).square(), (y, b))
    assert torch.autograd.gradgradcheck(lambda y, b: add_outer(y * 1, maps, [b]).square(), (y, b))
