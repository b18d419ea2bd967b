"""What a generator with a mapping network says of its ws: how they are truncated, and which layers read them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dualgan.networks import SNGANGenerator, StyleGAN2Generator
from dualgan.networks.layers import EqualizedLinear
from dualgan.networks.mapping import MappedGenerator, with_mapping
from dualgan.networks.sampling import generate
from tests.tiny import attending_generator, first_generator, generator, growing_generator

Make = Callable[..., MappedGenerator]
MAPPED: dict[str, Make] = {
    "StyleGAN2": generator,
    "with attention": attending_generator,
    "StyleGAN": first_generator,
    "growing": growing_generator,
}
every_kind = pytest.mark.parametrize("kind", MAPPED)


def made(kind: str, **settings: Any) -> MappedGenerator:
    torch.manual_seed(0)
    G = MAPPED[kind](resolution=16, **settings)
    G.mapping.track(torch.randn(5, 16) + 1)
    return G.eval().requires_grad_(False)


@every_kind
def test_only_the_first_layers_are_truncated(kind: str) -> None:
    G = made(kind)
    z = torch.randn(3, 16)
    whole, all_of_them = G.mapping(z), G.mapping(z, truncation_psi=0.3)
    some = G.mapping(z, truncation_psi=0.3, truncation_cutoff=2)
    assert torch.equal(some[:, :2], all_of_them[:, :2])
    assert torch.equal(some[:, 2:], whole[:, 2:])
    assert torch.equal(G.mapping(z, truncation_psi=0.3, truncation_cutoff=G.num_ws), all_of_them)


def test_a_truncation_of_layers_reaches_the_images_and_keeps_classes_apart() -> None:
    G = made("StyleGAN2", num_classes=3)
    G.mapping.track(torch.randn(30, 16), torch.arange(30) % 3)
    images = {
        (psi, cutoff): torch.cat(list(generate(G, [4, 5], truncation_psi=psi, truncation_cutoff=cutoff)))
        for psi, cutoff in ((1.0, None), (0.0, None), (0.0, 1), (1.0, 1))
    }
    assert not torch.equal(images[0.0, 1], images[0.0, None])
    assert not torch.equal(images[0.0, 1], images[1.0, None])
    assert torch.equal(images[1.0, 1], images[1.0, None])
    means = [torch.cat(list(generate(G, [4], labels=torch.tensor([k]), truncation_psi=0.0))) for k in range(3)]
    assert not torch.equal(means[0], means[1])
    assert not torch.equal(means[1], means[2])


@pytest.mark.parametrize(
    ("psi", "cutoff", "expected"),
    [
        (float("nan"), None, "truncation_psi nan is no finite number"),
        (float("inf"), None, "truncation_psi inf is no finite number"),
        (0.5, 0, "truncation_cutoff 0 is out of range: this generator has 6 layers"),
        (0.5, 7, "truncation_cutoff 7 is out of range"),
    ],
)
def test_truncations_that_cannot_be(psi: float, cutoff: int | None, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        list(generate(made("StyleGAN2"), [0], truncation_psi=psi, truncation_cutoff=cutoff))


def test_without_a_mapping_network_there_is_no_cutoff() -> None:
    G = SNGANGenerator(32, width=8)
    with pytest.raises(ValueError, match="truncation_cutoff needs a generator with a mapping network, and SNGAN"):
        generate(G, [0], truncation_cutoff=2)
    with pytest.raises(ValueError, match="mixing needs a generator with a mapping network"):
        with_mapping(G, "mixing")


@torch.no_grad()
def readers(G: MappedGenerator, layer: int) -> set[str]:
    """Names of the dense layers of the synthesis that read the w of one layer."""
    seen: set[str] = set()

    def look(name: str, w: Tensor) -> None:
        if w.any():
            seen.add(name)

    handles = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: look(name, inputs[0]))
        for name, module in G.synthesis.named_modules()
        if isinstance(module, EqualizedLinear)
    ]
    ws = torch.zeros(1, G.num_ws, 16)
    ws[:, layer] = 1
    G.synthesis(ws, noise_mode="const")
    for handle in handles:
        handle.remove()
    return seen


@every_kind
def test_each_layer_is_read_by_the_dense_layers_that_are_named(kind: str) -> None:
    G = made(kind)
    named = {module: name for name, module in G.synthesis.named_modules()}
    read = G.affines()
    assert len(read) == G.active_ws
    for layer, affines in enumerate(read):
        assert affines
        assert {named[affine] for affine in affines} == readers(G, layer)


class Silent(StyleGAN2Generator):
    """A generator that does not say how it reads w."""

    affines = MappedGenerator.affines


def test_a_generator_that_does_not_say_how_it_reads_w() -> None:
    with pytest.raises(ValueError, match="Silent does not say how its layers read w"):
        Silent(8, channel_base=64, z_dim=4, w_dim=4).affines()
