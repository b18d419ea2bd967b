"""R3GAN's networks: published counts, their parts against the paper's formulas, and what they refuse."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.losses import R1, RelativisticPairing
from dualgan.networks import Network, R3GANDiscriminator, R3GANGenerator, build_network
from dualgan.networks.layers import FIR
from dualgan.networks.r3gan.blocks import ResidualBlock, fixup_gain
from dualgan.networks.r3gan.generator import Basis, Up
from tests.tiny import tiny_gan, train

TINY: dict[str, Any] = {"channel_base": 256, "channel_max": 16, "group_width": 8, "blocks_per_stage": 1}
tiny_generator: Callable[..., R3GANGenerator] = partial(R3GANGenerator, z_dim=8, embed_dim=4, **TINY)
tiny_discriminator: Callable[..., R3GANDiscriminator] = partial(R3GANDiscriminator, **TINY)
PLAYERS: dict[str, Any] = {"generator": tiny_generator, "discriminator": tiny_discriminator}
IMAGENET = {"channel_max": 1536, "group_width": 32}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


Player = TypeVar("Player", bound=Network)


def awake(network: Player) -> Player:
    """With blocks that do something, unlike at the start."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            for parameter in (module.project, module.expand_bias, module.grouped_bias):
                nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize(
    ("arguments", "settings", "of_generator", "of_discriminator"),
    [
        ((256,), {}, 23_057_952, 23_009_568),  # FFHQ; the paper's table has 23.058 and 23.010 M
        ((64,), {}, 22_429_824, 22_381_440),
        ((32, 3, 10), {}, 20_781_952, 21_280_512),  # CIFAR-10
        ((32,), {}, 20_732_160, 20_683_776),
        ((32, 3, 1000), {"channel_base": 49152, **IMAGENET}, 82_914_304, 86_548_992),
        ((64, 3, 1000), {"channel_base": 98304, **IMAGENET}, 103_570_432, 107_205_120),
    ],
)
def test_the_defaults_are_the_published_networks(
    arguments: tuple[int, ...], settings: dict[str, int], of_generator: int, of_discriminator: int
) -> None:
    with torch.device("meta"):
        G, D = R3GANGenerator(*arguments, **settings), R3GANDiscriminator(*arguments, **settings)
    assert (count(G), count(D)) == (of_generator, of_discriminator)


def test_groups_have_16_channels_at_every_resolution() -> None:
    with torch.device("meta"):
        G = R3GANGenerator(256)
    blocks = [module for module in G.modules() if isinstance(module, ResidualBlock)]
    assert [block.geometry.groups for block in blocks] == [96] * 8 + [48] * 2 + [24] * 2 + [12] * 2
    assert {block.grouped.shape[1] for block in blocks} == {16}


@pytest.mark.parametrize("resolution", [8, 16, 32])
@pytest.mark.parametrize(("num_channels", "num_classes"), [(3, 0), (1, 3)])
def test_shapes(resolution: int, num_channels: int, num_classes: int) -> None:
    shape = (resolution, num_channels, num_classes)
    G, D = awake(tiny_generator(*shape)), awake(tiny_discriminator(*shape))
    labels = torch.arange(4) % num_classes if num_classes else None
    images = G(torch.randn(4, 8), labels)
    assert images.shape == (4, num_channels, resolution, resolution)
    assert D(images, labels).shape == (4,)
    assert D.trunk(images).shape == (4, D.trunk_width, 4, 4)
    assert D.features(images).shape == (4, 16)
    for network in (G, D):
        again = build_network(network.describe())
        again.load_state_dict(network.state_dict())
        arguments = (torch.ones(2, 8),) if network is G else (torch.ones(2, *shape[1:2], resolution, resolution),)
        own = None if labels is None else labels[:2]
        assert torch.equal(again(*arguments, own), network(*arguments, own))


# Huang et al., section 4: 1x1 to twice the channels, 3x3 in groups, 1x1 back; biases before the activations alone
def test_a_block_is_the_published_one() -> None:
    block = ResidualBlock(16, group_width=8, gain=1.0)
    nn.init.normal_(block.project)
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(ResidualBlock(16, 8, 1.0)(x), x)  # the identity at first
    y = F.leaky_relu(F.conv2d(x, block.expand) + block.expand_bias[:, None, None], 0.2)
    parts = [F.conv2d(y[:, i : i + 8], block.grouped[i : i + 8], padding=1) for i in range(0, 32, 8)]
    y = F.leaky_relu(torch.cat(parts, dim=1) + block.grouped_bias[:, None, None], 0.2)
    torch.testing.assert_close(block(x), x + F.conv2d(y, block.project), rtol=1e-4, atol=1e-4)


def test_initial_weights_have_the_published_variance() -> None:
    torch.manual_seed(0)
    G, D = R3GANGenerator(32, 3, 10, channel_max=256), R3GANDiscriminator(32, 3, 10, channel_max=256)
    gain = math.sqrt(2 / 1.04) * 8 ** (-1 / 4)
    assert fixup_gain(8) == pytest.approx(gain)
    for network in (G, D):
        blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
        assert len(blocks) == 8
        for block in blocks:
            assert block.expand.std().item() == pytest.approx(gain / math.sqrt(256), rel=0.02)
            assert block.grouped.std().item() == pytest.approx(gain / math.sqrt(16 * 9), rel=0.02)
            assert not block.project.any()
            assert not block.expand_bias.any()
    assert G.synthesis.basis.maps.std().item() == pytest.approx(1, rel=0.05)
    assert G.synthesis.basis.scale.std().item() == pytest.approx(1 / math.sqrt(128), rel=0.05)
    assert D.basis.std().item() == pytest.approx(1 / 4, rel=0.05)
    assert D.embedding is not None
    assert D.embedding.std().item() == pytest.approx(1 / math.sqrt(256 * 10), rel=0.1)


def filtered(x: Tensor, axis: int) -> Tensor:
    """[1, 2, 1] convolved with [1, 1] along an axis that is not padded."""
    a, b = x.narrow(axis, 0, x.shape[axis] - 3), x.narrow(axis, 1, x.shape[axis] - 3)
    c, d = x.narrow(axis, 2, x.shape[axis] - 3), x.narrow(axis, 3, x.shape[axis] - 3)
    return (a + 3 * b + 3 * c + d) / 8


def test_resolutions_change_by_the_published_filter() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    wide = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    wide[:, :, ::2, ::2] = 4 * x
    expected = filtered(filtered(F.pad(wide, (2, 1, 2, 1)), 2), 3)
    torch.testing.assert_close(Up(3, 3).double()(x), expected)
    expected = filtered(filtered(F.pad(x, (1, 1, 1, 1)), 2), 3)[:, :, ::2, ::2]
    torch.testing.assert_close(FIR(padding=1, down=2).double()(x), expected)
    assert sum(p.numel() for p in Up(3, 3).parameters()) == 0  # a 1x1 convolution only where the widths differ
    assert count(Up(4, 3)) == 12


def test_the_image_starts_as_learned_maps_that_z_scales() -> None:
    basis = Basis(8, 5)
    z = torch.randn(3, 8)
    expected = torch.einsum("chw,cd,nd->nchw", basis.maps, basis.scale, z)
    torch.testing.assert_close(basis(z), expected)


def test_logits_of_classes_are_projections_and_nothing_else_knows_the_class() -> None:
    D = awake(tiny_discriminator(8, 3, 3))
    images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 1])
    features = torch.einsum("nchw,chw->nc", D.trunk(images), D.basis)
    assert D.embedding is not None
    expected = torch.einsum("nc,dc,dn->n", features, D.out, D.embedding[:, labels])
    torch.testing.assert_close(D(images, labels), expected)
    assert torch.equal(D.features(images, labels), D.features(images, labels.flip(0)))
    G = awake(tiny_generator(8, 3, 3))
    z = torch.randn(1, 8).expand(3, -1)
    assert torch.equal(G.styles(G.draw(3)._replace(z=z), torch.arange(3))[:, :8], z)
    assert len(G(z, torch.arange(3)).unique(dim=0)) == 3


def test_a_pair_has_the_logits_of_two_calls() -> None:
    D = awake(tiny_discriminator(16, 3, 3))
    real, fake, labels = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 1])
    for own in (None, labels.flip(0)):
        pair = D.pair(real, fake, labels, None, own)
        expected = D(real, labels), D(fake, labels if own is None else own)
        torch.testing.assert_close(pair, expected)


def test_penalties_have_exact_second_derivatives() -> None:
    D = awake(tiny_discriminator(8)).double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    names = ("b8.blocks.0.expand", "b8.blocks.0.grouped")

    def penalty(*weights: Tensor) -> Tensor:
        own = dict(zip(names, weights, strict=True))
        return R1(2.0)(lambda x: torch.func.functional_call(D, own, (x,)), images, None)

    whole = [D.get_parameter(name).detach() for name in names]
    rest = [weight[8:] for weight in whole]

    def of_some(*some: Tensor) -> Tensor:
        return penalty(*(torch.cat(parts) for parts in zip(some, rest, strict=True)))

    some = [weight[:8].clone().requires_grad_() for weight in whole]
    assert torch.autograd.gradcheck(of_some, some, fast_mode=True)


def test_logits_stay_in_float32_under_autocast() -> None:
    G, D = awake(tiny_generator(16, 3, 3)), awake(tiny_discriminator(16, 3, 3))
    z, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 1])
    with torch.autocast("cpu", torch.bfloat16):
        images = G(z, labels)
        logits = D(images, labels)
    assert images.dtype == logits.dtype == torch.float32
    torch.testing.assert_close(images, G(z, labels), rtol=0.1, atol=0.1)
    assert logits.to(torch.bfloat16).float().ne(logits).any()  # not rounded at the end


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_published_recipe_trains_every_parameter(num_classes: int, precision: str) -> None:
    source = "batch" if num_classes else "dataset"
    gan = tiny_gan(
        resolution=16, num_classes=num_classes, loss=RelativisticPairing(), r1_gamma=0.1, r2_gamma=0.1,
        d_reg_interval=None, path_length_weight=0, style_mixing=0, fake_labels=source, **PLAYERS,
    )  # fmt: skip
    before = {name: value.clone() for name, value in gan.named_parameters()}
    train(gan, steps=3, precision=precision)
    assert [name for name, value in gan.named_parameters() if torch.equal(value, before[name])] == []
    assert all(value.isfinite().all() for value in gan.state_dict().values())
    assert {"loss/r1", "loss/r2"} <= gan.latest.keys()


# --- what they refuse ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [R3GANGenerator, R3GANDiscriminator])
def test_sizes_that_cannot_work_are_refused(network: Any) -> None:
    with torch.device("meta"):
        for resolution in (4, 48, 2048):
            with pytest.raises(
                ValueError, match=rf"resolution {resolution} is not a power of two from 8 to 1024: R3GAN needs"
            ):
                network(resolution)
        with pytest.raises(ValueError, match=r"at 4x4 have 2 x 20 channels inside.*16: choose a divisor of 40"):
            network(32, channel_max=20)
        with pytest.raises(ValueError, match="channel_base 8 and channel_max 768 leave no channels at resolution 16"):
            network(16, channel_base=8)
        for name in ("group_width", "blocks_per_stage"):
            with pytest.raises(ValueError, match=f"{name} 0 is out of range"):
                network(32, **{name: 0})


def test_what_they_have_not_is_refused() -> None:
    G, D = tiny_generator(8), tiny_discriminator(8)
    z, images, labels = torch.randn(2, 8), torch.randn(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"truncation_psi 0.7 has no meaning for R3GANGenerator"):
        G(z, truncation_psi=0.7)
    for call in (partial(G, z), partial(D, images)):
        with pytest.raises(ValueError, match="labels were given to an unconditional network"):
            call(labels)
    for network, given in ((tiny_generator(8, 3, 3), z), (tiny_discriminator(8, 3, 3), images)):
        with pytest.raises(ValueError, match="a network with 3 classes needs labels"):
            network(given)
    with pytest.raises(ValueError, match="without reference attention"):
        D(images, None, images)
    with pytest.raises(ValueError, match=r"images of shape \(2, 3, 16, 16\)"):
        D(torch.randn(2, 3, 16, 16))
    with pytest.raises(ValueError, match="styles of shape"):
        G.synthesis(torch.randn(2, 9))
    with pytest.raises(ValueError, match=r"path_length_weight 2.0 and style_mixing 0.9 cannot work with R3GAN"):
        tiny_gan(**PLAYERS)
    with pytest.raises(ValueError, match="R3GANGenerator has no attention"):
        G.attention_maps(z, [(0, 0)])
