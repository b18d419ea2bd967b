"""The first StyleGAN's networks: published sizes, and their mathematics written down once more."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks import Network, StyleGANDiscriminator, StyleGANGenerator
from dualgan.networks.base import Mixing
from dualgan.networks.growth import GrowFrom
from dualgan.networks.pyramid import block_resolutions
from dualgan.networks.stylegan.generator import adaptive_instance_norm
from dualgan.networks.stylegan.resampling import DownConv, UpConv
from tests.tiny import first_discriminator, first_generator

ROOT2 = 2**0.5


def G(resolution: int = 16, num_channels: int = 3, num_classes: int = 0) -> StyleGANGenerator:
    """A generator in which all of it has an effect: noise is off and styles are nearly the same at the start."""
    generator = first_generator(resolution=resolution, num_channels=num_channels, num_classes=num_classes)
    for name, parameter in generator.synthesis.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            nn.init.normal_(parameter)
    return generator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# --- sizes -----------------------------------------------------------------------------------------------------------


# The README of the published code has 26,219,627 for the generator at 1024; the others follow from its formulas.
@pytest.mark.parametrize(
    ("resolution", "grow_from", "generator", "discriminator"),
    [
        (1024, 8, 26_219_627, 23_087_249),
        (1024, "published", 26_219_627, 23_087_249),
        (1024, None, 26_212_019, 23_077_137),
        (256, 8, 26_086_229, 23_052_353),
        (256, None, 26_078_915, 23_042_625),
        (256, "published", 26_078_915, 23_042_625),
        (128, 8, 25_843_858, 22_941_313),
    ],
)
def test_numbers_of_parameters_are_the_published_ones(
    resolution: int, grow_from: GrowFrom, generator: int, discriminator: int
) -> None:
    with torch.device("meta"):
        found = [kind(resolution, grow_from=grow_from) for kind in (StyleGANGenerator, StyleGANDiscriminator)]
    assert [count(network) for network in found] == [generator, discriminator]


def test_the_published_form_is_the_default() -> None:
    with torch.device("meta"):
        for kind in (StyleGANGenerator, StyleGANDiscriminator):
            grown, usual = kind(1024).growing, kind(256).growing
            assert grown is not None
            assert (grown.plan.first, usual) == (8, None)


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize(("num_channels", "num_classes"), [(3, 0), (1, 0), (3, 10)], ids=["rgb", "gray", "classes"])
@pytest.mark.parametrize("grow_from", [None, 4])
def test_every_resolution_has_the_right_shapes(
    resolution: int, num_channels: int, num_classes: int, grow_from: int | None
) -> None:
    with torch.device("meta"):
        generator = StyleGANGenerator(resolution, num_channels, num_classes, grow_from=grow_from)
        discriminator = StyleGANDiscriminator(resolution, num_channels, num_classes, grow_from=grow_from)
        labels = torch.zeros(4, dtype=torch.long) if num_classes else None
        ws = generator.mapping(torch.empty(4, 512), labels)
        images = generator.synthesis(ws)
        assert ws.shape == (4, 2 * len(block_resolutions(resolution)), 512)
        assert images.shape == (4, num_channels, resolution, resolution)
        assert discriminator(images, labels).shape == (4,)
        assert discriminator.features(images, labels).shape == (4, 512)
        assert discriminator.trunk(images).shape == (4, discriminator.trunk_width, 4, 4)


# --- mathematics, once more ------------------------------------------------------------------------------------------


def blurred(x: Tensor) -> Tensor:
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = torch.outer(line, line).to(x).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def scaled(weight: Tensor, gain: float = ROOT2) -> Tensor:
    return weight * (gain / math.sqrt(weight[0].numel()))


def test_an_upsampling_convolution_is_nearest_neighbour_convolution_and_blur() -> None:
    conv, x = UpConv(5, 7).double(), torch.randn(2, 5, 4, 4, dtype=torch.float64)
    expected = blurred(F.conv2d(F.interpolate(x, scale_factor=2), scaled(conv.weight).flip(2, 3), padding=1))
    torch.testing.assert_close(conv(x), expected)


def test_a_downsampling_convolution_is_blur_convolution_and_mean() -> None:
    conv, x = DownConv(5, 7).double(), torch.randn(2, 5, 8, 8, dtype=torch.float64)
    nn.init.normal_(conv.bias)  # type: ignore[arg-type]
    assert conv.bias is not None
    y = F.avg_pool2d(F.conv2d(blurred(x), scaled(conv.weight), padding=1), 2) + ROOT2 * conv.bias[:, None, None]
    torch.testing.assert_close(conv(x), F.leaky_relu(y, 0.2))


def test_a_style_takes_the_place_of_mean_and_deviation() -> None:
    x, style = 3 + 2 * torch.randn(2, 5, 16, 16), torch.randn(2, 10)
    y = adaptive_instance_norm(x, style)
    torch.testing.assert_close(y.mean(dim=(2, 3)), style[:, 5:], rtol=0, atol=1e-5)
    torch.testing.assert_close(y.std(dim=(2, 3), correction=0), (1 + style[:, :5]).abs(), rtol=0, atol=1e-4)
    expected = F.instance_norm(x, eps=1e-8) * (1 + style[:, :5, None, None]) + style[:, 5:, None, None]
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)


def test_features_without_variation_and_bfloat16_are_normalised_in_float32() -> None:
    style = torch.randn(1, 4)
    same = adaptive_instance_norm(torch.full((1, 2, 4, 4), 3.0), style)
    torch.testing.assert_close(same, style[:, 2:, None, None].expand(1, 2, 4, 4))
    faint = 1e-3 * torch.randn(1, 2, 32, 32)  # a variance that an epsilon of 1e-5 would hide
    torch.testing.assert_close(
        adaptive_instance_norm(faint, style).std(correction=0, dim=(2, 3)), (1 + style[:, :2]).abs(), rtol=0.01, atol=0
    )
    rounded = (100 + torch.randn(1, 2, 32, 32)).bfloat16()
    half = adaptive_instance_norm(rounded, style)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, adaptive_instance_norm(rounded.float(), style).bfloat16())


@torch.no_grad()
@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_generator_is_what_the_paper_draws(num_classes: int) -> None:
    generator = G(num_classes=num_classes).double()
    z, labels = torch.randn(4, 16, dtype=torch.float64), torch.arange(4) % 3 if num_classes else None
    state = generator.state_dict()
    w = z if labels is None else torch.cat([z, state["mapping.embed.weight"][labels]], dim=1)
    w = w / (w.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for k in range(2):
        weight, bias = (state[f"mapping.fc{k}.{name}"] for name in ("weight", "bias"))
        w = F.leaky_relu(ROOT2 * 0.01 * (w @ weight.T / weight.shape[1] ** 0.5 + bias), 0.2)
    x = state["synthesis.b4.const"].expand(4, -1, -1, -1)
    for r in (4, 8, 16):
        for k in (0, 1):
            own = {name.removeprefix(f"synthesis.b{r}.layer{k}."): value for name, value in state.items()}
            if (kernel := state.get(f"synthesis.b{r}.conv{k}.weight")) is not None:
                up = r > 4 and k == 0
                x = F.interpolate(x, scale_factor=2) if up else x
                x = F.conv2d(x, scaled(kernel.flip(2, 3) if up else kernel), padding=1)
                x = blurred(x) if up else x
            x = F.leaky_relu(x + own["noise_const"] * own["noise_strength"] + own["bias"][:, None, None], 0.2)
            scale, shift = (w @ own["affine.weight"].T / 16**0.5 + own["affine.bias"])[:, :, None, None].chunk(2, dim=1)
            x = F.instance_norm(x, eps=1e-8) * (scale + 1) + shift
    weight, bias = (state[f"synthesis.b16.torgb.{name}"] for name in ("weight", "bias"))
    image = F.conv2d(x, scaled(weight, 1)) + bias[:, None, None]
    torch.testing.assert_close(generator(z, labels, noise_mode="const"), image)


@torch.no_grad()
@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_discriminator_is_what_the_paper_takes_from_progressive_growing(num_classes: int) -> None:
    discriminator = first_discriminator(resolution=16, num_classes=num_classes).double()
    for name, parameter in discriminator.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    state = discriminator.state_dict()

    def conv(x: Tensor, name: str, half: bool = False) -> Tensor:
        weight, bias = state[f"{name}.weight"], ROOT2 * state[f"{name}.bias"][:, None, None]
        y = F.conv2d(blurred(x) if half else x, scaled(weight), padding=weight.shape[2] // 2)
        return F.leaky_relu((F.avg_pool2d(y, 2) if half else y) + bias, 0.2)

    images, labels = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.arange(4) % 3 if num_classes else None
    x = conv(images, "b16.fromrgb")
    for r in (16, 8):
        x = conv(conv(x, f"b{r}.conv0"), f"b{r}.conv1", half=True)
    std = (x.var(dim=0, correction=0) + 1e-8).sqrt().mean().expand(4, 1, 4, 4)
    x = conv(torch.cat([x, std], dim=1), "b4.conv").flatten(1)
    x = F.leaky_relu(ROOT2 * (x @ state["b4.fc.weight"].T / x.shape[1] ** 0.5 + state["b4.fc.bias"]), 0.2)
    logits = x @ state["b4.out.weight"].T / x.shape[1] ** 0.5 + state["b4.out.bias"]
    expected = logits[:, 0] if labels is None else logits[torch.arange(4), labels]
    torch.testing.assert_close(discriminator(images, labels), expected)


# --- what users ask of it --------------------------------------------------------------------------------------------


def test_noise_modes_and_truncation_work() -> None:
    generator, z = G(), torch.randn(2, 16)
    for mode in ("const", "none"):
        assert torch.equal(generator(z, noise_mode=mode), generator(z, noise_mode=mode))
    assert not torch.allclose(generator(z, noise_mode="random"), generator(z, noise_mode="random"))
    generator.mapping.track(torch.randn(8, 16))
    mean = generator.mapping.mean_w().expand(2, generator.num_ws, 16)
    whole, half = (generator.styles(generator.draw(2)._replace(z=z), None, psi) for psi in (1.0, 0.5))
    torch.testing.assert_close(half, (mean + whole) / 2)
    with pytest.raises(ValueError, match="unknown noise_mode 'loud'"):
        generator(z, noise_mode="loud")
    with pytest.raises(ValueError, match=r"ws of shape \(2, 5, 16\): expected \[N, 6, 16\]"):
        generator.synthesis(torch.randn(2, 5, 16))


def test_a_generator_without_noise_is_one_whose_noise_is_left_out() -> None:
    noisy, without = G(), first_generator(resolution=16, noise=False)
    without.load_state_dict({name: value for name, value in noisy.state_dict().items() if "noise" not in name})
    z = torch.randn(2, 16)
    assert (noisy.has_noise, without.has_noise) == (True, False)
    assert torch.equal(noisy(z, noise_mode="none"), without(z))


def test_styles_are_mixed_at_a_layer() -> None:
    generator = G()
    latents = generator.draw(8, Mixing(1.0, per_sample=True))
    ws, own = generator.styles(latents), generator.mapping(latents.z)
    assert latents.mixed is not None
    for n, mixed in enumerate(latents.mixed[:, :, 0].tolist()):
        crossover = mixed.index(True)
        assert mixed == [k >= crossover for k in range(6)]
        assert torch.equal(ws[n, :crossover], own[n, :crossover])
        assert not torch.equal(ws[n, crossover:], own[n, crossover:])


@pytest.mark.parametrize("network", [StyleGANGenerator, StyleGANDiscriminator])
def test_what_it_cannot_be_is_refused(network: type[Network]) -> None:
    for settings, message in (
        (
            {"resolution": 200},
            r"resolution 200 is not a power of two from 8 to 1024: StyleGAN needs one of 8, 16, \.\.\., 1024",
        ),
        ({"resolution": 16, "channel_base": 8}, "channel_base 8 and channel_max 512 leave no channels"),
        ({"resolution": 16, "grow_from": 12}, "grow_from 12 is no resolution of a network for 16x16: .*4, 8, 16;"),
        ({"resolution": 16, "grow_from": 32}, "grow_from 32 is no resolution of a network for 16x16"),
        ({"resolution": 16, "grow_from": 8, "level_kimg": float("nan")}, "level_kimg nan is out of range"),
        ({"resolution": 16, "num_classes": -3}, "num_classes -3 is out of range: expected a whole number from 0 on"),
        ({"resolution": 16, "num_channels": 0}, "num_channels 0 is out of range: expected a whole number from 1 on"),
        ({"resolution": 16.0}, r"resolution 16\.0 is out of range: expected a whole number"),
        ({"resolution": 16, "grow_from": 8, "fade_kimg": -1}, "fade_kimg -1 is out of range: expected 0 or more"),
        ({"resolution": 16, "grow_from": 8, "level_kimg": 0, "fade_kimg": 0}, "level_kimg and fade_kimg are both 0"),
        ({"resolution": 16, "fade_kimg": 10}, "fade_kimg 10 has no effect without grow_from"),
    ):
        with torch.device("meta"), pytest.raises(ValueError, match=message):
            network(**settings)


def test_labels_and_references_that_do_not_fit_are_refused() -> None:
    images, labels = torch.zeros(4, 3, 16, 16), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match="discriminator without reference attention"):
        first_discriminator(resolution=16)(images, reference=images)
    with pytest.raises(ValueError, match="labels were given to an unconditional network"):
        first_discriminator(resolution=16)(images, labels)
    with pytest.raises(ValueError, match="a network with 3 classes needs labels"):
        G(num_classes=3)(torch.zeros(4, 16))
    with pytest.raises(ValueError, match="for a discriminator of"):
        first_discriminator(resolution=16)(images[..., :8])
