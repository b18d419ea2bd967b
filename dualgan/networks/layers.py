"""Layers that the networks share: equalized learning rate, FIR resampling, modulated convolution, minibatch std.

The weights of every layer are drawn from N(0, 1) and scaled at run time (equalized learning rate, Karras et al.,
ICLR 2018). A leaky ReLU is positively homogeneous, so its gain sqrt(2) is folded into the scale of the weight and
the bias instead of costing a pass over the activations.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks.convolution import Geometry, convolve

LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2, in place; the gain sqrt(2) is in the weights that made `x`."""
    return F.leaky_relu(x, LEAKY_SLOPE, inplace=True)


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale each row of `x` [N, d] to mean square 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


# StyleGAN2, Eq. 3: sigma_j^2 = sum_ik (s_i w_ijk)^2
def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """Factors [N, out_channels] that give a convolution with `weight` of an input times `style` unit variance."""
    energy = weight.square().sum(dim=(2, 3))
    return torch.rsqrt(F.linear(style.square(), energy) + 1e-8)


def fir_kernel(gain: float = 1.0) -> Tensor:
    """Separable low-pass [1, 3, 3, 1], normalised to sum `gain`. Returns [4, 4]."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps)
    return kernel * (gain / kernel.sum())


class FIR(nn.Module):
    """Depthwise low-pass filter with [1, 3, 3, 1] taps.

    Args:
        padding: Zero padding on each side in pixels.
        down: Keep every `down`-th pixel of the result.
        gain: Factor on the result.
    """

    kernel: Tensor

    def __init__(self, padding: int, down: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.padding, self.down = padding, down
        self.register_buffer("kernel", fir_kernel(gain), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, (H + 2 padding - 3) / down, ...], the size rounded up."""
        channels = x.shape[1]
        weight = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        return convolve(x, weight, Geometry(stride=self.down, padding=self.padding, groups=channels))


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
    """Dense layer with equalized learning rate.

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
        """[N, in_features] -> [N, out_features]."""
        y = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return leaky_relu(y) if self.activate else y


class EqualizedConv2d(nn.Module):
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
        self.gain = gain * (LEAKY_GAIN if activate else 1.0)
        self.weight_gain = self.gain / math.sqrt(in_channels * kernel_size**2)
        # A 1x1 convolution needs no neighbours, so its stride is taken by the low-pass already.
        stride = down if kernel_size > 1 else 1
        self.geometry = Geometry(stride=stride, padding=kernel_size // 2 if down == 1 else 0)
        self.fir = FIR(padding=kernel_size // 2 + 1, down=down // stride) if down > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H / down, W / down]."""
        if self.fir is not None:
            x = self.fir(x)
        y = convolve(x, self.weight * self.weight_gain, self.geometry)
        if self.bias is not None:
            y = y.add_((self.bias * self.gain)[None, :, None, None].to(y.dtype))
        return leaky_relu(y) if self.activate else y


class ModulatedConv2d(nn.Module):
    """Convolution whose weight is scaled per sample by a style, optionally demodulated and upsampling.

    Modulation commutes with the convolution: the input is scaled by the style and the output by the demodulation
    factor, so no per-sample weight is ever built (StyleGAN2, section 2.2, rearranged).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: 1 or 3.
        w_dim: Width of the latent that the style is computed from.
        up: 1, or 2 to double the resolution.
        demodulate: Normalise the output to unit expected variance.
        gain: Factor on the result.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        w_dim: int,
        up: int = 1,
        demodulate: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.demodulate, self.padding, self.gain = demodulate, kernel_size // 2, gain
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.fir = FIR(padding=1, gain=4) if up == 2 else None
        # Demodulation cancels any constant scale of the weight; without it the equalized learning rate needs one.
        self.weight_gain = 1.0 if demodulate else gain / math.sqrt(in_channels * kernel_size**2)

    def convolve(self, x: Tensor) -> Tensor:
        """Apply the shared weight, upsampling where asked."""
        weight = self.weight if self.demodulate else self.weight * self.weight_gain
        if self.fir is None:
            return convolve(x, weight, Geometry(padding=self.padding))
        wide: Tensor = self.fir(convolve(x, weight.transpose(0, 1), Geometry(stride=2, transposed=True)))
        return wide

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[N, in_channels, H, W], latents [N, w_dim] -> [N, out_channels, up H, up W]."""
        style = self.affine(w)
        y = self.convolve(x * style[:, :, None, None].to(x.dtype))
        bias = (self.bias * self.gain)[None, :, None, None].to(y.dtype)
        if not self.demodulate:
            return y + bias
        factor = self.gain * demodulation(self.weight, style)
        return torch.addcmul(bias, y, factor[:, :, None, None].to(y.dtype))


class MinibatchStd(nn.Module):
    """Append one channel with the mean standard deviation over groups of samples (Karras et al., ICLR 2018).

    Sample i belongs to group i mod (N / group_size). A rank or micro-batch that takes every R-th sample of a global
    batch therefore holds whole groups, and the statistics do not depend on how the batch is split.

    Args:
        group_size: Samples per group; a smaller batch forms one group.
    """

    def __init__(self, group_size: int = 4) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C + 1, H, W].

        Raises:
            ValueError: N is no multiple of the group size.
        """
        n, _, h, w = x.shape
        group = min(self.group_size, n)
        if n % group:
            raise ValueError(
                f"a batch of {n} images does not split into minibatch-std groups of {group}: "
                f"use a multiple of {group} per device and micro-batch"
            )
        groups = x.float().reshape(group, n // group, *x.shape[1:])
        deviation = groups - groups.mean(dim=0)
        std = (deviation.square().mean(dim=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        channel = std.repeat(group).to(x.dtype)[:, None, None, None].expand(n, 1, h, w)
        return torch.cat([x, channel], dim=1)
