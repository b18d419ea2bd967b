"""Orthogonal regularization of both players' weights."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from dualgan.auxiliary import OrthogonalRegularization
from dualgan.auxiliary.orthogonal import matrices, orthogonality
from dualgan.networks import BigGANDiscriminator, BigGANGenerator, R3GANDiscriminator, R3GANGenerator
from tests.backbones import BACKBONES
from tests.tiny import tiny_gan, train

PLAIN: dict[str, Any] = {"r1_gamma": 0, "path_length_weight": 0}


# BigGAN's PyTorch code: grad += 2 (W W^T o (1 - I)) W
def test_its_gradient_is_the_published_one() -> None:
    weight = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(orthogonality([weight]), weight)
    w = weight.detach()
    torch.testing.assert_close(gradient, 2 * (w @ w.T * (1 - torch.eye(4, dtype=torch.float64))) @ w)
    assert orthogonality([3 * nn.init.orthogonal_(torch.empty(4, 6))]) < 1e-8  # lengths do not matter


@pytest.mark.parametrize(("resolution", "hierarchical"), [(32, False), (32, True)])
def test_it_is_of_all_weights_but_those_of_classes(resolution: int, hierarchical: bool) -> None:
    G = BigGANGenerator(resolution, 3, 3, width=2, z_dim=8, hierarchical=hierarchical, shared_dim=4 * hierarchical)
    D = BigGANDiscriminator(resolution, 3, 3, width=2)
    seen = {weight.data_ptr() for network in (G, D) for weight in matrices(network)}
    names = {f"{kind}.{name}": p for kind, network in (("G", G), ("D", D)) for name, p in network.named_parameters()}
    left_out = {name for name, p in names.items() if p.dim() > 1 and p.data_ptr() not in seen}
    tables = {
        f"G.synthesis.b{r}.norm{k}.{kind}.weight" for r in (8, 16, 32) for k in (0, 1) for kind in ("gain", "bias")
    }
    embedding = "parametrizations.weight.original"
    assert left_out == {f"D.head.embedding.{embedding}"} | ({"G.embedding.weight"} if hierarchical else tables)
    D.requires_grad_(False)
    assert matrices(D) == []


@pytest.mark.parametrize("make", [BACKBONES["BigGAN"].gan, tiny_gan], ids=["BigGAN", "StyleGAN2"])
def test_it_is_added_to_both_players_losses(make: Any) -> None:
    strong = partial(OrthogonalRegularization, weight=100.0, generator=50.0)
    with_it, without = (make(auxiliary=tasks, **PLAIN) for tasks in ([strong], []))
    before = [orthogonality(matrices(player)).item() for player in (with_it.discriminator, with_it.generator)]
    for gan in (with_it, without):
        train(gan, steps=1)
    for name, weight, value in zip(("", "/generator"), (100, 50), before, strict=True):
        torch.testing.assert_close(with_it.latest[f"loss/orthogonal{name}"], torch.tensor(weight * value))
    for player in ("generator", "discriminator"):
        assert orthogonality(matrices(getattr(with_it, player))) < orthogonality(matrices(getattr(without, player)))


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="weight -1 and generator 0 are out of range: expected 0 or more, and one"):
        OrthogonalRegularization(BigGANDiscriminator(32, width=1), weight=-1, generator=0)


def test_a_weight_of_zero_is_no_loss() -> None:
    players: Any = SimpleNamespace(discriminator=BigGANDiscriminator(32, width=1), generator=nn.Linear(2, 3))
    for weight, generator in ((0, 1e-4), (1e-4, 0)):
        task = OrthogonalRegularization(players.discriminator, weight=weight, generator=generator)
        losses = task.discriminator_loss(players), task.generator_loss(players)
        assert [loss is None for loss in losses] == [weight == 0, generator == 0]


def test_classes_and_constant_maps_are_no_weights() -> None:
    with torch.device("meta"):
        for network in (R3GANGenerator(8, num_classes=3), R3GANDiscriminator(8, num_classes=3)):
            of_inputs = {p.numel() for name, p in network.named_parameters() if "embedding" in name or p.dim() == 3}
            assert len(of_inputs) == 2
            assert all(p.dim() == 2 for p in matrices(network))
            assert len(matrices(network)) == sum(p.dim() in (2, 4) for p in network.parameters()) - 1
