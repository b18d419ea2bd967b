import math

import pytest
import torch
import torch.nn.functional as F
from scipy import signal
from torch import Tensor, nn

from dualgan.networks.layers import (
    FIR,
    EqualizedConv2d,
    EqualizedLinear,
    FIRUpsample,
    MinibatchStd,
    ModulatedConv2d,
    ToRGB,
    demodulation,
    fir_kernel,
    normalize_second_moment,
)

SQRT2 = math.sqrt(2)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def randomize(layer: nn.Module) -> None:
    """Biases start at 0 or 1: move every parameter, so that none can hide."""
    for parameter in layer.parameters():
        parameter.data.copy_(torch.randn_like(parameter))


def scipy_filter(image: Tensor, padding: int, gain: float) -> Tensor:
    """The low-pass of one channel [H, W] by scipy's convolution."""
    padded = F.pad(image, [padding] * 4).numpy()
    return torch.from_numpy(signal.convolve2d(padded, fir_kernel(gain).double().numpy(), mode="valid"))


# --- FIR -------------------------------------------------------------------------------------------------------------


def test_fir_kernel_is_the_outer_product_of_1_3_3_1() -> None:
    kernel = fir_kernel(gain=4)
    torch.testing.assert_close(kernel.sum(), torch.tensor(4.0))
    torch.testing.assert_close(kernel / kernel[0, 0], torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2))


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("down", [1, 2])
def test_fir_is_a_depthwise_convolution(padding: int, down: int) -> None:
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    y = FIR(padding, down=down, gain=4)(x)
    for sample in range(2):
        for channel in range(3):
            expected = scipy_filter(x[sample, channel], padding, gain=4)[::down, ::down]
            torch.testing.assert_close(y[sample, channel], expected)


def test_upsample_is_zero_insertion_and_low_pass() -> None:
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    y = FIRUpsample()(x)
    stuffed = torch.zeros(2, 10, 12, dtype=torch.float64)
    stuffed[:, ::2, ::2] = x[0]
    for channel in range(2):
        # two pixels before and one after, as upfirdn pads for a factor of two
        expected = scipy_filter(F.pad(stuffed[channel], (2, 1, 2, 1)), padding=0, gain=4)
        torch.testing.assert_close(y[0, channel], expected)


def test_resampling_keeps_a_constant_image_constant_away_from_the_border() -> None:
    x = torch.full((1, 2, 8, 8), 0.7)
    up, down = FIRUpsample()(x), FIR(padding=1, down=2)(x)
    assert up.shape == (1, 2, 16, 16)
    assert down.shape == (1, 2, 4, 4)
    torch.testing.assert_close(up[..., 2:-2, 2:-2], torch.full((1, 2, 12, 12), 0.7))
    torch.testing.assert_close(down[..., 1:-1, 1:-1], torch.full((1, 2, 2, 2), 0.7))


def test_upsample_puts_pixels_where_bilinear_resizing_puts_them() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    expected = F.interpolate(ramp, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(FIRUpsample()(ramp)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])


def test_the_filter_is_no_part_of_the_state() -> None:
    assert not FIR(padding=1).state_dict()
    assert not FIRUpsample().state_dict()


# --- equalized learning rate -----------------------------------------------------------------------------------------


def test_normalize_second_moment_ignores_the_length_of_z() -> None:
    z = torch.randn(5, 64)
    torch.testing.assert_close(normalize_second_moment(z).square().mean(dim=1), torch.ones(5))
    torch.testing.assert_close(normalize_second_moment(z), normalize_second_moment(100 * z))


@pytest.mark.parametrize("activate", [False, True])
@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_linear_equals_its_textbook_form(activate: bool, lr_multiplier: float) -> None:
    layer = EqualizedLinear(6, 4, activate=activate, lr_multiplier=lr_multiplier).double()
    randomize(layer)
    x = torch.randn(3, 6, dtype=torch.float64)
    expected = lr_multiplier * (x @ layer.weight.T / math.sqrt(6) + layer.bias)
    if activate:
        expected = SQRT2 * F.leaky_relu(expected, 0.2)
    torch.testing.assert_close(layer(x), expected)


def test_styles_stay_float32_under_autocast() -> None:
    layer, modulated, x, w = EqualizedLinear(6, 4), ModulatedConv2d(3, 5, 6), torch.randn(2, 3, 4, 4), torch.randn(2, 6)
    randomize(layer)
    expected, style = layer(w), modulated.affine(w)
    factors = demodulation(modulated.weight, style)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(w), expected)
        assert torch.equal(demodulation(modulated.weight, style), factors)
        assert layer(w.bfloat16()).dtype == modulated(x, w).dtype == torch.bfloat16


def test_lr_multiplier_changes_the_speed_of_learning_and_not_the_start() -> None:
    x = torch.randn(3, 6)
    layers = []
    for lr_multiplier in (1.0, 0.01):
        torch.manual_seed(1)
        layers.append(EqualizedLinear(6, 4, lr_multiplier=lr_multiplier, bias_init=1))
    usual, slow = layers
    torch.testing.assert_close(usual(x), slow(x))
    usual(x).square().sum().backward()
    slow(x).square().sum().backward()
    assert usual.weight.grad is not None
    assert slow.weight.grad is not None
    torch.testing.assert_close(slow.weight.grad, usual.weight.grad * 0.01)


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("down", [1, 2])
@pytest.mark.parametrize(("bias", "activate"), [(True, True), (False, False)])
def test_convolution_equals_its_textbook_form(kernel_size: int, down: int, bias: bool, activate: bool) -> None:
    layer = EqualizedConv2d(3, 5, kernel_size, down=down, bias=bias, activate=activate, gain=0.5).double()
    randomize(layer)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    y, padding = x, kernel_size // 2
    if down == 2:
        # low-pass so that the strided convolution's outputs are centred: 8 -> 9 for 3x3, 8 -> 7 for 1x1
        y = torch.stack([torch.stack([scipy_filter(c, kernel_size // 2 + 1, 1) for c in sample]) for sample in x])
        padding = 0
    y = F.conv2d(y, layer.weight / math.sqrt(3 * kernel_size**2), layer.bias, stride=down, padding=padding)
    if activate:
        y = SQRT2 * F.leaky_relu(y, 0.2)
    assert y.shape[2:] == (8 // down, 8 // down)
    torch.testing.assert_close(layer(x), 0.5 * y)


def test_layers_keep_the_variance_of_their_input_at_initialisation() -> None:
    x = torch.randn(8, 64, 16, 16)
    assert EqualizedConv2d(64, 64, 3, activate=False)(x)[..., 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.1)
    assert EqualizedLinear(64, 512)(torch.randn(64, 64)).std().item() == pytest.approx(1, abs=0.1)


# --- modulated convolution -------------------------------------------------------------------------------------------


def per_sample_weights(layer: ModulatedConv2d, x: Tensor, w: Tensor) -> Tensor:
    """Modulated convolution to the letter of StyleGAN2's Eq. 1 and 3: one weight per sample, a grouped convolution."""
    n, c_in, h, width = x.shape
    c_out, _, k, _ = layer.weight.shape
    style = layer.affine(w)
    # Eq. 1: w'_ijk = s_i w_ijk
    weight = layer.weight[None] * style[:, None, :, None, None]
    # Eq. 3: w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk^2 + eps)
    weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    if layer.fir is None:
        y = F.conv2d(x.reshape(1, -1, h, width), weight.reshape(-1, c_in, k, k), padding=k // 2, groups=n)
    else:
        weight = weight.transpose(1, 2).reshape(-1, c_out, k, k)
        y = F.conv_transpose2d(x.reshape(1, -1, h, width), weight, stride=2, groups=n)
        y = F.conv2d(y, fir_kernel(4).to(x.dtype).expand(n * c_out, 1, 4, 4), padding=1, groups=n * c_out)
    return layer.gain * (y.reshape(n, c_out, *y.shape[2:]) + layer.bias[:, None, None])


def per_sample_colours(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    """Modulation without demodulation, Eq. 1 alone, under the equalized learning rate."""
    weight = layer.weight.flatten(1) * layer.affine(w)[:, None, :] / math.sqrt(x.shape[1])
    return torch.einsum("nchw,ndc->ndhw", x, weight) + layer.bias[:, None, None]


@pytest.mark.parametrize("case", ["same resolution", "upsampling", "to colours"])
def test_modulation_equals_per_sample_weights(case: str) -> None:
    up = 2 if case == "upsampling" else 1
    layer: ModulatedConv2d | ToRGB
    if case == "to colours":
        layer = ToRGB(4, 6, w_dim=5).double()
    else:
        layer = ModulatedConv2d(4, 6, w_dim=5, up=up, gain=SQRT2).double()
    randomize(layer)
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    ours = layer(x, w)
    literal = per_sample_colours(layer, x, w) if isinstance(layer, ToRGB) else per_sample_weights(layer, x, w)
    assert ours.shape == (3, 6, 8 * up, 8 * up)
    torch.testing.assert_close(ours, literal)
    inputs = (x, w, *layer.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(ours.pow(2).sum(), inputs), torch.autograd.grad(literal.pow(2).sum(), inputs)
    )


def test_demodulation_makes_the_output_independent_of_the_size_of_style_and_weight() -> None:
    layer = ModulatedConv2d(64, 64, w_dim=8)
    x, w = torch.randn(4, 64, 16, 16), torch.randn(4, 8)
    y = layer(x, w)
    assert y[..., 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.1)
    layer.affine.weight.data *= 10
    layer.affine.bias.data *= 10
    torch.testing.assert_close(layer(x, w), y, rtol=1e-3, atol=1e-4)
    layer.weight.data *= 10
    torch.testing.assert_close(layer(x, w), y, rtol=1e-3, atol=1e-4)


def test_a_fresh_style_is_one_for_w_zero() -> None:
    layer = ModulatedConv2d(4, 6, w_dim=5)
    assert torch.equal(layer.affine(torch.zeros(2, 5)), torch.ones(2, 4))


# --- minibatch standard deviation ------------------------------------------------------------------------------------


def test_minibatch_std_appends_the_mean_deviation_of_each_samples_group() -> None:
    x = torch.randn(8, 3, 4, 4)
    y = MinibatchStd(group_size=4)(x)
    assert torch.equal(y[:, :3], x)
    for i in range(8):
        members = x[i % 2 :: 2]  # sample i belongs to group i mod (8 / 4)
        expected = members.std(dim=0, unbiased=False).mean()
        torch.testing.assert_close(y[i, 3], expected.expand(4, 4), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("parts", [2, 4])
def test_minibatch_std_does_not_depend_on_how_a_batch_is_split_with_strides(parts: int) -> None:
    x = torch.randn(16, 3, 4, 4)
    layer = MinibatchStd(group_size=4)
    whole = layer(x)
    for part in range(parts):
        torch.testing.assert_close(layer(x[part::parts]), whole[part::parts])
    assert not torch.allclose(layer(x[:8]), whole[:8])


@pytest.mark.parametrize("n", [2, 4, 8])
def test_minibatch_std_of_two_kinds_never_mixes_them(n: int) -> None:
    real, fake = torch.randn(n, 3, 4, 4), 5 * torch.randn(n, 3, 4, 4)
    layer = MinibatchStd(group_size=4)
    torch.testing.assert_close(layer(torch.cat([real, fake]), kinds=2), torch.cat([layer(real), layer(fake)]))


def test_minibatch_std_of_a_small_batch_is_one_group() -> None:
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(MinibatchStd(4)(x), MinibatchStd(2)(x))


def test_minibatch_std_refuses_a_batch_that_does_not_split() -> None:
    with pytest.raises(ValueError, match=r"batch of 6 .*groups of 4: use a multiple of 4"):
        MinibatchStd(4)(torch.zeros(6, 3, 4, 4))


def test_minibatch_std_of_identical_samples_has_a_finite_gradient() -> None:
    x = torch.ones(4, 3, 4, 4, requires_grad=True)
    MinibatchStd(4)(x)[:, 3].sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_minibatch_std_keeps_the_type_of_its_input() -> None:
    assert MinibatchStd(4)(torch.randn(4, 3, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
