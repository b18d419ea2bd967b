"""BigGAN: published sizes, where class and latent enter, attention and errors."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks import BigGANDiscriminator, BigGANGenerator, Network
from dualgan.networks.biggan.blocks import DownBlock, Layers, UpBlock
from dualgan.studies.attention import compute_maps

SMALL: dict[str, Any] = {"width": 2, "z_dim": 8, "standing_passes": 2}
HIERARCHICAL: dict[str, Any] = {**SMALL, "hierarchical": True, "shared_dim": 5}
small: Any = partial(BigGANGenerator, 32, **SMALL)
hierarchical: Any = partial(BigGANGenerator, 32, **HIERARCHICAL)


def part(network: nn.Module, path: str) -> Any:
    return network.get_submodule(path)


def parameters(network: Network) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("resolution", "num_classes", "g", "d"),
    [
        (32, 10, 4_304_387, 4_207_361),  # CIFAR-10
        (128, 1000, 70_433_988, 87_982_370),  # ImageNet
        (256, 0, 39_043_203, 43_401_409),  # not published
    ],
)
def test_sizes_are_the_published_ones(resolution: int, num_classes: int, g: int, d: int) -> None:
    with torch.device("meta"):
        assert parameters(BigGANGenerator(resolution, 3, num_classes)) == g
        assert parameters(BigGANDiscriminator(resolution, 3, num_classes)) == d


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("make", [small, hierarchical], ids=["one z", "hierarchical z"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_logits(make: Any, num_classes: int, channels: int) -> None:
    G, D = make(channels, num_classes), BigGANDiscriminator(32, channels, num_classes, width=2)
    labels = torch.tensor([0, 2]) if num_classes else None
    images = G(torch.randn(2, 8), labels)
    assert images.shape == (2, channels, 32, 32)
    assert images.abs().max() <= 1
    assert D(images, labels).shape == (2,)
    assert D.trunk(images).shape == (2, D.trunk_width, 8, 8)
    assert D.features(images).shape == (2, D.trunk_width)


def test_the_class_enters_by_the_normalisation_of_the_blocks_alone() -> None:
    G = hierarchical(3, 4).eval()
    with torch.no_grad():
        for block in ("b8", "b16", "b32"):
            for name in ("norm0.gain", "norm0.bias", "norm1.gain", "norm1.bias"):
                layer = part(G.synthesis, f"{block}.{name}")
                layer.parametrizations.weight.original[:, :5] = 0  # the columns of the class embedding
    z = torch.randn(1, 8).expand(4, -1)
    images = G(z, torch.arange(4))
    torch.testing.assert_close(images, images[:1].expand_as(images))
    assert not torch.allclose(hierarchical(3, 4).eval()(z, torch.arange(4))[0], images[1])
    first, conditions = G.synthesis.slots(G.styles(G.draw(2)._replace(z=z[:2]), torch.tensor([0, 3])))
    assert torch.equal(first[0], first[1])
    assert [condition.shape for condition in conditions] == [(2, 7)] * 3
    assert all(torch.equal(condition[0, 5:], condition[1, 5:]) for condition in conditions)


def test_each_part_of_a_hierarchical_z_reaches_its_own_block() -> None:
    G = hierarchical(3, 2).eval()
    parts = [G.synthesis.get_submodule(name) for name in ("linear", "b8", "b16", "b32")]
    z, labels = torch.randn(1, 8), torch.tensor([1])

    def outputs(z: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        hooks = [part.register_forward_hook(lambda module, given, made: found.append(made)) for part in parts]
        G(z, labels)
        for hook in hooks:
            hook.remove()
        return found

    for k in range(4):
        moved = z.clone()
        moved[:, 2 * k : 2 * k + 2] += 1
        same = [torch.equal(before, after) for before, after in zip(outputs(z), outputs(moved), strict=True)]
        assert same == [True] * k + [False] * (4 - k)


def test_a_table_per_layer_gives_every_class_its_own_gain_and_bias() -> None:
    G = small(3, 3).eval()
    norm = part(G.synthesis, "b8").norm0
    x, labels = torch.randn(2, 8, 4, 4), torch.tensor([2, 0])
    y = norm(x, F.one_hot(labels, 3).float())
    for k, label in enumerate(labels):
        expected = x[k] * (1 + norm.gain.weight[:, label])[:, None, None] / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(y[k], expected + norm.bias.weight[:, label][:, None, None])


def test_without_classes_all_blocks_see_the_whole_z() -> None:
    G = BigGANGenerator(64, width=2, z_dim=6)
    first, conditions = G.synthesis.slots(z := torch.randn(2, 6))
    assert all(torch.equal(seen, z) for seen in (first, *conditions))
    assert len(conditions) == 4
    assert isinstance(part(G.synthesis, "b8").norm0.gain, nn.Sequential)


def plain(layer: Any, x: Tensor) -> Tensor:
    """A layer as torch has it, with the weight that the normalised one uses."""
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[-1] // 2)


# BigGAN, Figure 15 (b) and (c)
def test_blocks_are_those_of_the_paper() -> None:
    layers = Layers("orthogonal", 1e-6)
    x = torch.randn(2, 4, 8, 8)
    up = UpBlock(4, 6, layers, lambda channels: nn.Identity(), False).eval()
    up.norm0 = up.norm1 = Second()
    y = plain(up.conv1, F.relu(plain(up.conv0, F.interpolate(F.relu(x), scale_factor=2))))
    torch.testing.assert_close(up(x, None), y + plain(up.skip, F.interpolate(x, scale_factor=2)))
    down = DownBlock(4, 6, layers).eval()
    y = plain(down.conv1, F.relu(plain(down.conv0, F.relu(x)))) + plain(down.skip, x)
    torch.testing.assert_close(down(x), F.avg_pool2d(y, 2))
    first = DownBlock(4, 6, layers, first=True).eval()
    y = plain(first.conv1, F.relu(plain(first.conv0, x))) + plain(first.skip, x)
    torch.testing.assert_close(first(x), F.avg_pool2d(y, 2))
    last = DownBlock(6, 6, layers, down=False).eval()
    assert last.skip is None


class Second(nn.Module):
    """No normalisation."""

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return x


# Miyato & Koyama, Eq. 6, on summed features
def test_logits_are_projections() -> None:
    D = BigGANDiscriminator(32, 3, 3, width=2).eval()
    images, labels = torch.rand(2, 3, 32, 32), torch.tensor([2, 0])
    features = F.relu(D.trunk(images)).sum(dim=(2, 3))
    assert D.head.embedding is not None
    embedding = D.head.embedding.weight[labels]
    expected = features @ D.head.linear.weight[0] + D.head.linear.bias + (embedding * features).sum(dim=1)
    torch.testing.assert_close(D(images, labels), expected)


def test_both_kinds_of_images_in_one_pass_are_two_calls() -> None:
    D = BigGANDiscriminator(32, 3, 3, width=2).eval()
    real, fake = torch.rand(2, 3, 3, 32, 32)
    labels, others = torch.tensor([0, 1, 2]), torch.tensor([2, 2, 1])
    together, fakes = D.pair(real, fake, labels, None, others)
    torch.testing.assert_close(together, D(real, labels))
    torch.testing.assert_close(fakes, D(fake, others))


@pytest.mark.parametrize("initial_weights", ["orthogonal", "normal"])
def test_spectral_norms_are_1_after_a_few_calls(initial_weights: Any) -> None:
    G = hierarchical(3, 2, attention_resolution=8, initial_weights=initial_weights)
    D = BigGANDiscriminator(32, 3, 2, width=4, attention_resolution=16, initial_weights=initial_weights)
    labels = torch.tensor([0, 1])
    for _ in range(100):
        D(G(torch.randn(2, 8), labels), labels)
    layers: list[Any] = [layer for network in (G, D) for layer in network.eval().modules()]
    normalised = [layer for layer in layers if hasattr(layer, "parametrizations")]
    assert len(normalised) == 27 + 16
    for layer in normalised:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        torch.testing.assert_close(norm, torch.ones(()), rtol=1e-3, atol=1e-3)


def test_attention_is_sagan_s_and_can_be_drawn() -> None:
    G = hierarchical(3, 2, attention_resolution=16)
    block = part(G.synthesis, "b16")
    before = G.state_dict()
    assert block.attention is not None
    nn.init.ones_(block.attention.gamma)
    x = torch.randn(2, 8, 16, 16)
    block.attention.eval()
    names = ("theta", "phi", "g", "out")
    theta, phi, g, out = (block.attention.get_submodule(name).conv.weight.flatten(1) for name in names)
    pooled = [F.max_pool2d(torch.einsum("dc,nchw->ndhw", w, x), 2).flatten(2) for w in (phi, g)]
    weights = torch.softmax((theta @ x.flatten(2)).transpose(1, 2) @ pooled[0], dim=2)
    expected = x + (out @ (pooled[1] @ weights.transpose(1, 2))).view_as(x)
    torch.testing.assert_close(block.attention(x), expected, rtol=1e-4, atol=1e-5)
    maps = compute_maps(G, [0, 1], [(0.5, 0.5)])
    assert maps.maps.shape == (2, 1, 8, 8)
    torch.testing.assert_close(torch.from_numpy(maps.maps).sum(dim=(2, 3)), torch.ones(2, 1))
    assert before.keys() == G.state_dict().keys()


@pytest.mark.parametrize(
    ("network", "settings", "message"),
    [
        (BigGANGenerator, {"resolution": 48}, "BigGANGenerator of resolution 48: it is defined for 32, 64, 128, 256"),
        (BigGANDiscriminator, {"resolution": 16}, "BigGANDiscriminator of resolution 16: it is defined for 32, 64"),
        (BigGANGenerator, {"resolution": 128, "num_classes": 2, "z_dim": 128}, "z_dim 128 does not split into 6 equal"),
        (BigGANGenerator, {"resolution": 32, "num_classes": 2, "hierarchical": True}, "give shared_dim, such as 128"),
        (BigGANGenerator, {"resolution": 32, "attention_resolution": 64}, "its blocks give 8, 16, 32; choose one"),
        (BigGANDiscriminator, {"resolution": 32, "attention_resolution": 32}, "its blocks give 8, 16; choose one of"),
        (BigGANDiscriminator, {"resolution": 32, "width": 0}, "width 0 is out of range"),
        (
            BigGANGenerator,
            {"resolution": 32, "standing_passes": -1},
            "^standing_passes -1 is out of range: expected 0 or more",
        ),
        (BigGANGenerator, {"resolution": 32, "initial_weights": "xavier"}, "unknown initial_weights 'xavier'"),
    ],
)
def test_what_cannot_be_built_is_refused(network: Any, settings: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        network(**settings)
