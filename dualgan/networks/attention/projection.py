"""The 1x1 convolution that attention modules apply to a feature map, with or without a style."""

import math

import torch
from torch import Tensor, nn

from dualgan.networks.convolution import Geometry, convolve
from dualgan.networks.layers import LEAKY_GAIN, demodulation, leaky_relu


class Projection(nn.Module):
    """1x1 convolution with equalized learning rate; modulated and demodulated where a style is given.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        bias: Learn a bias.
        activate: Apply the leaky ReLU with its gain.
        gain: Further factor on the result.
    """

    def __init__(
        self, in_channels: int, out_channels: int, bias: bool = False, activate: bool = False, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.activate = activate
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.gain = gain * (LEAKY_GAIN if activate else 1.0)
        self.weight_gain = self.gain / math.sqrt(in_channels)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """[N, in_channels, H, W], times the style already, style [N, in_channels] -> [N, out_channels, H, W]."""
        if style is None:
            y = convolve(x, self.weight * self.weight_gain, Geometry())
        else:
            y = convolve(x, self.weight, Geometry())
            y = y * (self.gain * demodulation(self.weight, style))[:, :, None, None].to(y.dtype)
        if self.bias is not None:
            y = y.add_((self.bias * self.gain)[None, :, None, None].to(y.dtype))
        return leaky_relu(y) if self.activate else y
