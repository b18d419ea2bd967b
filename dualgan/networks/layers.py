"""Layers that the networks share: equalized learning rate, FIR resampling, modulated convolution, minibatch std.

The weights of every layer are drawn from N(0, 1) and scaled at run time (equalized learning rate, Karras et al.,
ICLR 2018). A leaky ReLU is positively homogeneous, so its gain sqrt(2) is folded into the scale of the weight and
the bias instead of costing a pass over the activations.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks.convolution import Geometry, convolve, convolve_beside, pointwise
from dualgan.networks.scale_shift import scale_shift
from dualgan.runtime.precision import without_autocast

LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2, in place; the gain sqrt(2) is in the weights that made `x`."""
    return F.leaky_relu(x, LEAKY_SLOPE, inplace=True)


def widened(x: Tensor) -> Tensor:
    """The same in float32, or in float64 where it was so already."""
    return x if x.dtype == torch.float64 else x.float()


class Clamped(nn.Module):
    """A layer whose output may be bounded, as StyleGAN2-ADA does for half precision."""

    clamp: float | None = None
    clamp_gain = 1.0  # of what comes after the activation

    def bounded(self, y: Tensor) -> Tensor:
        """Limit `y` to plus and minus `clamp`."""
        if self.clamp is None:
            return y
        limit = self.clamp * self.clamp_gain
        return y.clamp(-limit, limit)


def set_clamp(network: nn.Module, limit: float | None) -> None:
    """Bound the output of all convolutions that have a bias to plus and minus `limit`; None leaves them alone.

    Raises:
        ValueError: The limit is not positive.
    """
    if limit is not None and not limit > 0:
        raise ValueError(f"conv_clamp {limit:g} is not positive: published networks have 256, or null for no bound")
    for module in network.modules():
        if isinstance(module, Clamped) and module.bias is not None:
            module.clamp = limit


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale each row of `x` [N, d] to mean square 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def own_precision(x: Tensor, weight: Tensor) -> AbstractContextManager[object]:
    """Where a product of two tensors of one type is computed: in that type, under autocast, too.

    Latents and styles are small. To cast them and their weights takes longer than to multiply them, and in bfloat16
    every style would be off by up to 0.4 %.
    """
    return without_autocast(x.device.type) if x.dtype == weight.dtype else nullcontext()


# StyleGAN2, Eq. 3: sigma_j^2 = sum_ik (s_i w_ijk)^2
def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """Factors [N, out_channels] that give a convolution with `weight` of an input times `style` unit variance."""
    energy = weight.square().sum(dim=(2, 3))
    with own_precision(style, energy):
        return torch.rsqrt(F.linear(style.square(), energy) + 1e-8)


def fir_kernel(gain: float = 1.0, taps: Sequence[float] = (1.0, 3.0, 3.0, 1.0)) -> Tensor:
    """Separable low-pass of T taps, normalised to sum `gain`. Returns [T, T]."""
    factor = gain / sum(taps) ** 2
    return torch.tensor([[factor * one * other for other in taps] for one in taps])


class FIR(nn.Module):
    """Depthwise low-pass filter.

    Args:
        padding: Zero padding on each side in pixels.
        down: Keep every `down`-th pixel of the result.
        gain: Factor on the result.
        taps: Filter of each axis, T numbers.
    """

    kernel: Tensor

    def __init__(
        self, padding: int, down: int = 1, gain: float = 1.0, taps: Sequence[float] = (1.0, 3.0, 3.0, 1.0)
    ) -> None:
        super().__init__()
        self.padding, self.down = padding, down
        self.register_buffer("kernel", fir_kernel(gain, taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, (H + 2 padding - T + 1) / down, ...], the size rounded up."""
        return convolve(x, *self._convolution(x))

    def beside(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input for its other uses, and what a call gives: see `convolve_beside`."""
        return convolve_beside(x, *self._convolution(x))

    def _convolution(self, x: Tensor) -> tuple[Tensor, Geometry]:
        channels = x.shape[1]
        weight = self.kernel.to(x.dtype).expand(channels, 1, *self.kernel.shape)
        return weight, Geometry(stride=self.down, padding=self.padding, groups=channels)


class FIRUpsample(nn.Module):
    """Double the resolution of an image: zero insertion followed by the low-pass, as one transposed convolution."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(gain=4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, 2H, 2W]."""
        channels = x.shape[1]
        weight = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        return convolve(x, weight, Geometry(stride=2, padding=1, groups=channels, transposed=True))


class EqualizedLinear(nn.Module):
    """Dense layer with equalized learning rate; float32 stays float32 under autocast (`own_precision`).

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        activate: Apply the leaky ReLU with its gain.
        lr_multiplier: Learning rate of this layer relative to the others.
        bias_init: Initial value of the bias.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activate: bool = False,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activate = activate
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        gain = LEAKY_GAIN if activate else 1.0
        self.weight_gain = gain * lr_multiplier / math.sqrt(in_features)
        self.bias_gain = gain * lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        rows = x.flatten(0, -2)
        with own_precision(x, self.weight):
            y = torch.addmm(self.bias, rows, self.weight.t(), beta=self.bias_gain, alpha=self.weight_gain)
        y = y.reshape(*x.shape[:-1], -1)
        return leaky_relu(y) if self.activate else y


class EqualizedConv2d(Clamped):
    """Convolution with equalized learning rate, optionally behind a low-pass and with stride 2.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: 1 or 3.
        down: 1, or 2 to halve the resolution with antialiasing.
        bias: Learn a bias.
        activate: Apply the leaky ReLU with its gain.
        gain: Further factor on the result.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        down: int = 1,
        bias: bool = True,
        activate: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.activate = activate
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.clamp_gain = gain
        self.gain = gain * (LEAKY_GAIN if activate else 1.0)
        self.weight_gain = self.gain / math.sqrt(in_channels * kernel_size**2)
        # A 1x1 convolution needs no neighbours, so its stride is taken by the low-pass already.
        stride = down if kernel_size > 1 else 1
        self.geometry = Geometry(stride=stride, padding=kernel_size // 2 if down == 1 else 0)
        self.fir = FIR(padding=kernel_size // 2 + 1, down=down // stride) if down > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H / down, W / down]."""
        return self._convolved(x if self.fir is None else self.fir(x))

    def beside(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input for its other uses, and what a call gives, of a convolution behind a low-pass: see `FIR.beside`."""
        assert self.fir is not None
        x, filtered = self.fir.beside(x)
        return x, self._convolved(filtered)

    def _convolved(self, x: Tensor) -> Tensor:
        weight = self.weight * self.weight_gain
        bias = None if self.bias is None else self.bias * self.gain
        # With few channels in, the product of `pointwise` is thin and slow.
        thin = weight.shape[1] < 8 or weight.shape[2] > 1
        if thin:
            return self.bounded(convolve(x, weight, self.geometry, bias, LEAKY_SLOPE if self.activate else None))
        y = pointwise(x, weight, bias)
        return self.bounded(leaky_relu(y) if self.activate else y)


class ModulatedConv2d(nn.Module):
    """3x3 convolution whose weight is scaled per sample by a style and demodulated, optionally upsampling.

    Modulation commutes with the convolution: the input is scaled by the style and the output by the demodulation
    factor, so no per-sample weight is ever built (StyleGAN2, section 2.2, rearranged).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        w_dim: Width of the latent that the style is computed from.
        up: 1, or 2 to double the resolution.
        gain: Factor on the result.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, up: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        # Demodulation cancels any constant scale of the weight: the equalized learning rate needs no gain here.
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.fir = FIR(padding=1, gain=4) if up == 2 else None

    def convolve(self, x: Tensor) -> Tensor:
        """Apply the shared weight, upsampling where asked."""
        if self.fir is None:
            return convolve(x, self.weight, Geometry(padding=1))
        wide: Tensor = self.fir(convolve(x, self.weight.transpose(0, 1), Geometry(stride=2, transposed=True)))
        return wide

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[N, in_channels, H, W], latents [N, w_dim] -> [N, out_channels, up H, up W]."""
        style = self.affine(w)
        y = self.convolve(x * style[:, :, None, None].to(x.dtype))
        bias = (self.bias * self.gain)[None, :, None, None].to(y.dtype)
        factor = self.gain * demodulation(self.weight, style)
        return scale_shift(y, factor[:, :, None, None].to(y.dtype), bias)


class ToRGB(Clamped):
    """Modulated 1x1 convolution to the image's few channels, without demodulation.

    Its per-sample weights are tiny: building them is cheaper than scaling the feature map.

    Args:
        in_channels: Channels of the input.
        num_channels: Colours of the image.
        w_dim: Width of the latent that the style is computed from.
    """

    def __init__(self, in_channels: int, num_channels: int, w_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor, scale: Tensor | None = None) -> Tensor:
        """[N, in_channels, H, W], latents [N, w_dim], a factor [N, in_channels] on x -> [N, num_channels, H, W]."""
        style = self.affine(w) * self.weight_gain
        style = style if scale is None else style * scale
        weights = style[:, :, None].to(x.dtype) * self.weight.flatten(1).t().to(x.dtype)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        colours = torch.baddbmm(self.bias.to(x.dtype), pixels, weights)
        return self.bounded(colours.reshape(x.shape[0], *x.shape[2:], -1).permute(0, 3, 1, 2))


class MinibatchStd(nn.Module):
    """Append one channel with the mean standard deviation over groups of samples (Karras et al., ICLR 2018).

    Sample i belongs to group i mod (N / group_size). A rank or micro-batch that takes every R-th sample of a global
    batch therefore holds whole groups, and the statistics do not depend on how the batch is split. A batch may hold
    several kinds of samples one after another (real and generated ones): no group mixes them.

    Args:
        group_size: Samples per group; a smaller batch forms one group.
    """

    def __init__(self, group_size: int = 4) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor, kinds: int = 1) -> Tensor:
        """[N, C, H, W], `kinds` parts of equal size -> [N, C + 1, H, W].

        Raises:
            ValueError: N / kinds is no multiple of the group size.
        """
        total, _, h, w = x.shape
        n = total // kinds
        group = min(self.group_size, n)
        if n % group:
            raise ValueError(
                f"a batch of {n} images does not split into minibatch-std groups of {group}: "
                f"use a multiple of {group} per device and micro-batch"
            )
        groups = widened(x).reshape(kinds, group, n // group, *x.shape[1:])
        deviation = groups - groups.mean(dim=1, keepdim=True)
        std = (deviation.square().mean(dim=1) + 1e-8).sqrt().mean(dim=(2, 3, 4))
        channel = std.repeat(1, group).flatten().to(x.dtype)[:, None, None, None].expand(total, 1, h, w)
        return torch.cat([x, channel], dim=1)
