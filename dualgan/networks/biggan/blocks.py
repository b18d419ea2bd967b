"""Residual blocks of BigGAN, its attention, and how its weights start."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks import spectral
from dualgan.networks.attention import SAGAN

InitialWeights = Literal["orthogonal", "normal"]
Norm = Callable[[int], nn.Module]  # channels -> a module of features [N, channels, H, W] and a condition [N, d]


class Layers:
    """Makes layers that are normalised by their spectral norm.

    Args:
        initial_weights: How weights start: orthogonal (BigGAN's paper), or normal with standard deviation 0.02. Biases
            start as torch's do.
        eps: Least norm of the power iteration's vectors.

    Raises:
        ValueError: Unknown initial weights.
    """

    def __init__(self, initial_weights: InitialWeights, eps: float) -> None:
        if initial_weights not in get_args(InitialWeights):
            raise ValueError(
                f"unknown initial_weights {initial_weights!r}: expected one of {', '.join(get_args(InitialWeights))}"
            )
        self.initial_weights, self.eps = initial_weights, eps

    def conv(self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = True) -> nn.Module:
        """A convolution that keeps the resolution."""
        layer: nn.Module = self.normalised(spectral.Conv2d(in_channels, out_channels, kernel_size, bias=bias))
        return layer

    def linear(self, in_features: int, out_features: int, bias: bool = True) -> nn.Module:
        """A dense layer."""
        layer: nn.Module = self.normalised(spectral.Linear(in_features, out_features, bias=bias))
        return layer

    def normalised(self, layer: Any) -> Any:
        """A layer with initial weights, normalised."""
        return spectral.normalised(self.started(layer), self.eps)

    def started(self, layer: Any) -> Any:
        """A layer with initial weights, and not normalised."""
        if self.initial_weights == "orthogonal":
            nn.init.orthogonal_(layer.weight)
        else:
            nn.init.normal_(layer.weight, 0, 0.02)
        return layer


class PlainProjection(nn.Module):
    """A 1x1 convolution in the place of those that styles may modulate."""

    def __init__(self, layers: Layers, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = layers.conv(in_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W]; there is no style."""
        assert style is None
        y: Tensor = self.conv(x)
        return y


def attention_of(channels: int, layers: Layers) -> SAGAN:
    """SAGAN's attention with BigGAN's layers, for a multiple of 8 channels."""
    attention = SAGAN(channels)
    small, half = channels // 8, channels // 2
    for name, ends in {
        "theta": (channels, small),
        "phi": (channels, small),
        "g": (channels, half),
        "out": (half, channels),
    }.items():
        attention.add_module(name, PlainProjection(layers, *ends))
    return attention


class UpBlock(nn.Module):
    """Residual block that doubles the resolution.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        layers: Makes the convolutions.
        norm: Makes the normalisation before each activation; None is without.
        attention: Follow the block by attention.
    """

    def __init__(
        self, in_channels: int, out_channels: int, layers: Layers, norm: Norm | None = None, attention: bool = False
    ) -> None:
        super().__init__()
        self.norm0 = norm(in_channels) if norm else None
        self.conv0 = layers.conv(in_channels, out_channels)
        self.norm1 = norm(out_channels) if norm else None
        self.conv1 = layers.conv(out_channels, out_channels)
        self.skip = layers.conv(in_channels, out_channels, kernel_size=1)
        self.attention = attention_of(out_channels, layers) if attention else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """[N, in_channels, H, W], what the normalisation depends on [N, d] -> [N, out_channels, 2H, 2W]."""
        y = self.before_attention(x, condition)
        return y if self.attention is None else self.attention(y)

    def before_attention(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The same without attention."""
        y = x if self.norm0 is None else self.norm0(x, condition)
        y = self.conv0(doubled(F.relu(y)))
        y = y if self.norm1 is None else self.norm1(y, condition)
        # a 1x1 convolution is the same before the pixels are repeated, and cheaper
        shortcut = doubled(self.skip(x))
        result: Tensor = self.conv1(F.relu(y)) + shortcut
        return result


class DownBlock(nn.Module):
    """Residual block of the discriminator.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        layers: Makes the convolutions.
        down: Halve the resolution.
        first: The input is an image, and gets no activation.
        attention: Follow the block by attention.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        layers: Layers,
        down: bool = True,
        first: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv0 = layers.conv(in_channels, out_channels)
        self.conv1 = layers.conv(out_channels, out_channels)
        self.skip = (
            layers.conv(in_channels, out_channels, kernel_size=1) if down or in_channels != out_channels else None
        )
        self.attention = attention_of(out_channels, layers) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W], or half of that size."""
        y = self.conv1(F.relu(self.conv0(x if self.first else F.relu(x))))
        if self.down:  # a 1x1 convolution is the same after the mean, and cheaper
            y, x = F.avg_pool2d(y, 2), F.avg_pool2d(x, 2)
        y = y + (x if self.skip is None else self.skip(x))
        result: Tensor = y if self.attention is None else self.attention(y)
        return result


def doubled(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W], each pixel repeated."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
