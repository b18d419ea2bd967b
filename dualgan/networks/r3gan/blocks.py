"""What both of R3GAN's networks are made of: widths, initial weights and residual blocks."""

import math

import torch
from torch import Tensor, nn

from dualgan.networks.convolution import Geometry, convolve, pointwise
from dualgan.networks.layers import LEAKY_SLOPE, leaky_relu
from dualgan.networks.pyramid import block_resolutions, num_features

CHANNEL_BASE, CHANNEL_MAX = 24576, 768
"""Published widths: 768 channels up to 32x32, half of them with every doubling beyond."""

EXPANSION = 2
"""Channels inside of a block by those of its input: an inverted bottleneck."""

GROUP_WIDTH = 16
"""Published channels of a group of the 3x3 convolutions; the networks of ImageNet have 32."""


def stage_widths(resolution: int, channel_base: int, channel_max: int, group_width: int) -> dict[int, int]:
    """Channels of the stage at each resolution, from 4 on.

    Raises:
        ValueError: One has none, or its blocks do not split into groups.
    """
    widths = {r: num_features(r, channel_base, channel_max) for r in block_resolutions(resolution)}
    for r, channels in widths.items():
        if EXPANSION * channels % group_width:
            raise ValueError(
                f"the blocks at {r}x{r} have {EXPANSION} x {channels} channels inside, which do not split into groups "
                f"of group_width {group_width}: choose a divisor of {EXPANSION * channels}, or other channels"
            )
    return widths


def drawn(*shape: int, gain: float = 1.0) -> nn.Parameter:
    """A weight [out, in, ...] from N(0, gain^2 / fan_in)."""
    return nn.Parameter(torch.randn(shape) * (gain / math.sqrt(math.prod(shape[1:]))))


# He et al., ICCV 2015, Eq. 14: g^2 = 2 / (1 + a^2); Zhang et al. (Fixup), ICLR 2019: L^(-1 / (2m - 2)), m = 3
def fixup_gain(num_blocks: int) -> float:
    """Gain of the first two layers of each of a network's `num_blocks` blocks, whose third starts at 0."""
    return math.sqrt(2 / (1 + LEAKY_SLOPE**2)) / math.sqrt(math.sqrt(num_blocks))


class ResidualBlock(nn.Module):
    """x + W3 act(b2 + W2 act(b1 + W1 x)): 1x1, grouped 3x3 and 1x1, nothing after the sum, the identity at first.

    Args:
        channels: Channels of input and output.
        group_width: Channels of a group of the 3x3 convolution.
        gain: Of the first two layers' initial weights.
    """

    def __init__(self, channels: int, group_width: int, gain: float) -> None:
        super().__init__()
        inside = EXPANSION * channels
        self.expand = drawn(inside, channels, 1, 1, gain=gain)
        self.grouped = drawn(inside, group_width, 3, 3, gain=gain)
        self.project = drawn(channels, inside, 1, 1, gain=0.0)
        self.expand_bias = nn.Parameter(torch.zeros(inside))
        self.grouped_bias = nn.Parameter(torch.zeros(inside))
        self.geometry = Geometry(padding=1, groups=inside // group_width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> the same shape."""
        y = leaky_relu(pointwise(x, self.expand, self.expand_bias))
        y = convolve(y, self.grouped, self.geometry, self.grouped_bias, LEAKY_SLOPE)
        return x + pointwise(y, self.project)


def residual_blocks(count: int, channels: int, group_width: int, gain: float) -> nn.Sequential:
    """The blocks of a stage."""
    return nn.Sequential(*(ResidualBlock(channels, group_width, gain) for _ in range(count)))
