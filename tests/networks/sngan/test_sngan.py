"""SNGAN's networks: sizes, the norms of their weights, where the class enters, what they refuse."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualgan.networks import Latents, SNGANDiscriminator, SNGANGenerator
from dualgan.networks.class_conditional import ConditionalBatchNorm
from dualgan.networks.sngan.discriminator import DiscriminatorBlock
from dualgan.networks.sngan.generator import GeneratorBlock

RESOLUTIONS = (32, 48, 64, 128, 256)
PUBLISHED = {32: (4.277, 1.054), 48: (4.878, 10.141), 64: (12.221, 10.141), 128: (32.151, 29.018)}
LABELS = torch.tensor([0, 2, 1, 2])


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("resolution", PUBLISHED)
def test_sizes_are_the_published_ones(resolution: int) -> None:
    with torch.device("meta"):
        players = SNGANGenerator(resolution), SNGANDiscriminator(resolution)
    assert tuple(round(count(player) / 1e6, 3) for player in players) == PUBLISHED[resolution]


# One more block of 512 channels in either network than at 128x128, as in the authors' own network for 256x256
def test_256_is_128_with_one_more_block() -> None:
    with torch.device("meta"):
        larger, smaller = ([SNGANGenerator(r), SNGANDiscriminator(r)] for r in (256, 128))
        blocks = GeneratorBlock(512, 512, 0, "nearest"), DiscriminatorBlock(512, 512, halving=True)
    assert [count(a) - count(b) for a, b in zip(larger, smaller, strict=True)] == [count(block) for block in blocks]


def test_classes_add_a_gain_and_a_bias_per_class_and_an_embedding() -> None:
    with torch.device("meta"):
        players = [(SNGANGenerator(128, 3, k), SNGANDiscriminator(128, 3, k)) for k in (0, 1000)]
    (g, d), (g_of_classes, d_of_classes) = players
    normalised = 1024 * 3 + 512 * 2 + 256 * 2 + 128 * 2 + 64  # channels that the blocks normalise
    assert count(g_of_classes) - count(g) == 2 * 999 * normalised
    assert count(d_of_classes) - count(d) == 1000 * 1024


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_shapes(resolution: int, num_classes: int) -> None:
    G, D = SNGANGenerator(resolution, 1, num_classes, width=2), SNGANDiscriminator(resolution, 1, num_classes, width=2)
    labels = LABELS if num_classes else None
    images = G(torch.randn(4, G.z_dim), labels)
    assert images.shape == (4, 1, resolution, resolution)
    assert images.abs().max() <= 1
    assert D(images, labels).shape == (4,)
    assert D.trunk_width is not None
    assert D.trunk(images).shape[:2] == D.features(images).shape == (4, D.trunk_width)
    assert [D.get_submodule(name) for name in D.blocks] == [m for m in D.children() if m is not D.head]


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_generator_block_is_the_published_one(upsampling: str) -> None:
    block = GeneratorBlock(5, 3, 0, upsampling)  # type: ignore[arg-type]
    x = torch.randn(4, 5, 4, 4)
    expected = copy.deepcopy(block)

    def up(h: Tensor) -> Tensor:
        return F.interpolate(h, scale_factor=2.0, mode=upsampling)

    # Miyato et al., figure 8: BN, ReLU, upsample, conv, BN, ReLU, conv beside upsample, conv
    a = expected
    h = F.conv2d(up(F.relu(a.norm1.norm(x))), a.conv1.weight, a.conv1.bias, padding=1)
    h = F.conv2d(F.relu(a.norm2.norm(h)), a.conv2.weight, a.conv2.bias, padding=1)
    h = h + F.conv2d(up(x), a.shortcut.weight, a.shortcut.bias)
    torch.testing.assert_close(block(x), h, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("widths", "halving", "first"), [((3, 5), True, True), ((4, 5), True, False), ((4, 4), False, False)]
)
def test_discriminator_block_is_the_published_one(widths: tuple[int, int], halving: bool, first: bool) -> None:
    block = DiscriminatorBlock(*widths, halving, first).eval()
    x = torch.randn(4, widths[0], 4, 4)

    def conv(layer: nn.Module, h: Tensor) -> Tensor:
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, Tensor)
        assert isinstance(bias, Tensor)
        return F.conv2d(h, weight, bias, padding=weight.shape[2] // 2)

    # Figure 8: ReLU, conv, ReLU, conv, mean over 2x2 beside conv, mean over 2x2; the first one has no ReLU before it
    h = conv(block.conv2, F.relu(conv(block.conv1, x if first else F.relu(x))))
    shortcut = x if widths == (4, 4) else conv(block.shortcut, x)
    h, shortcut = (F.avg_pool2d(m, 2) if halving else m for m in (h, shortcut))
    torch.testing.assert_close(block(x.clone()), h + shortcut, rtol=1e-4, atol=1e-4)


def test_logits_are_a_dense_layer_on_the_sum_over_all_places() -> None:
    D = SNGANDiscriminator(32, width=4).eval()
    images = torch.randn(4, 3, 32, 32)
    expected = D.trunk(images).sum(dim=(2, 3)) @ D.head.linear.weight[0] + D.head.linear.bias
    torch.testing.assert_close(D(images), expected)


def norms(network: nn.Module) -> dict[str, float]:
    """Largest singular values of all weights as the layers use them, as matrices with a row per output."""
    network.eval()
    layers = {name: m for name, m in network.named_modules() if hasattr(m, "parametrizations")}
    with torch.no_grad():
        return {name: torch.linalg.matrix_norm(m.weight.flatten(1).double(), 2).item() for name, m in layers.items()}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_classes", [0, 5])
def test_spectral_norms_are_1_after_some_steps(num_classes: int, precision: torch.dtype) -> None:
    D = SNGANDiscriminator(32, 3, num_classes, width=16)
    labels = LABELS if num_classes else None
    D.requires_grad_(False)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        for _ in range(300):
            D(torch.zeros(4, 3, 32, 32), labels)
    found = norms(D)
    assert len(found) == 4 * 2 + 2 + 1 + bool(num_classes)  # convolutions, shortcuts, dense layer, embedding
    assert found == {name: pytest.approx(1, abs=1e-3) for name in found}
    weights = [name for name, _ in D.named_parameters() if name.endswith(("weight", "original"))]
    assert len(weights) == len(found)  # no weight is left as it is


def test_the_class_enters_the_generator_through_its_batch_normalisation_alone() -> None:
    G = SNGANGenerator(32, num_classes=3, width=4)
    z, labels = torch.randn(3, G.z_dim), torch.arange(3)
    assert torch.equal(*(G(z, y) for y in (labels, labels.flip(0))))  # gains and biases start the same
    tables = [m for m in G.modules() if isinstance(m, ConditionalBatchNorm)]
    assert len(tables) == 6
    for table in tables:
        nn.init.normal_(table.gain.weight)  # type: ignore[arg-type]
        nn.init.normal_(table.bias.weight)  # type: ignore[arg-type]
    G.eval()  # the statistics of a batch mix its samples
    images = G(z, labels)
    assert not torch.allclose(images[:1], G(z[:1], labels[2:]), atol=1e-3)
    images[1].sum().backward()
    gradient = next(tables[0].gain.parameters()).grad
    assert gradient is not None
    assert [bool(row.any()) for row in gradient.T] == [False, True, False]  # of an image's class alone


def test_the_class_enters_the_discriminator_through_the_projection_alone() -> None:
    D = SNGANDiscriminator(32, num_classes=3, width=4).eval()
    images = torch.randn(3, 3, 32, 32)
    assert torch.equal(D.features(images, torch.tensor([0, 1, 2])), D.features(images, torch.tensor([2, 1, 0])))
    assert D.head.embedding is not None
    embedding = D.head.embedding.weight
    apart = D(images, torch.tensor([0, 0, 0])) - D(images, torch.tensor([1, 1, 1]))
    torch.testing.assert_close(apart, D.features(images) @ (embedding[0] - embedding[1]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_pair_has_the_logits_of_two_calls(num_classes: int) -> None:
    D = SNGANDiscriminator(32, num_classes=num_classes, width=4).eval()
    real, fake = torch.randn(2, 4, 3, 32, 32)
    labels, others = (LABELS, LABELS.flip(0)) if num_classes else (None, None)
    pairs = D.pair(real, fake, labels, None, others)
    for found, expected in zip(pairs, (D(real, labels), D(fake, others)), strict=True):
        torch.testing.assert_close(found, expected)


def test_second_derivatives_are_right() -> None:
    D = SNGANDiscriminator(32, width=2).double().eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(x)

    def slope(images: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(D(images).sum(), images, create_graph=True)
        return gradient.square().sum()

    (second,) = torch.autograd.grad(slope(x), x)
    step = 1e-6
    numeric = (slope(x + step * direction) - slope(x - step * direction)) / (2 * step)
    torch.testing.assert_close((second * direction).sum(), numeric, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("resolution", [8, 16, 96, 512])
@pytest.mark.parametrize("network", [SNGANGenerator, SNGANDiscriminator])
def test_a_resolution_without_layers_is_refused(network: type[SNGANGenerator], resolution: int) -> None:
    with pytest.raises(ValueError, match=f"{network.__name__} has no layers for resolution {resolution}: it is defi"):
        network(resolution)


def test_what_they_do_not_have_is_refused() -> None:
    G, D = SNGANGenerator(32, width=2), SNGANDiscriminator(32, width=2)
    z, images = torch.randn(4, G.z_dim), torch.zeros(4, 3, 32, 32)
    with pytest.raises(ValueError, match=r"truncation_psi 0.7 has no meaning for SNGANGenerator"):
        G(z, truncation_psi=0.7)
    with pytest.raises(ValueError, match="labels were given to an unconditional network"):
        G.styles(Latents(z), LABELS)
    with pytest.raises(ValueError, match="labels were given to an unconditional network"):
        D(images, LABELS)
    with pytest.raises(ValueError, match="network with 3 classes needs labels"):
        SNGANGenerator(32, num_classes=3, width=2)(z)
    with pytest.raises(ValueError, match="network with 3 classes needs labels"):
        SNGANDiscriminator(32, num_classes=3, width=2)(images)
    with pytest.raises(ValueError, match="without reference attention"):
        D(images, reference=images)
    with pytest.raises(ValueError, match=r"images of shape \(4, 3, 16, 16\)"):
        D(images[:, :, :16, :16])
    with pytest.raises(ValueError, match="upsampling 'cubic' is unknown"):
        SNGANGenerator(32, upsampling="cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width 0 is out of range"):
        SNGANDiscriminator(32, width=0)
