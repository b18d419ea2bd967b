"""SNGAN's residual generator."""

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dualgan.networks.base import Generator, Latents, NoiseMode, check_at_least_one, one_hot
from dualgan.networks.class_conditional import ConditionalBatchNorm
from dualgan.networks.layers import widened
from dualgan.networks.sngan.plan import RESIDUAL_GAIN, convolution, plan_of

Upsampling = Literal["nearest", "bilinear"]


class Norm(nn.Module):
    """Batch normalisation, with classes conditional on them, and ReLU.

    Args:
        channels: Channels.
        num_classes: Number of classes; 0 is unconditional.
    """

    def __init__(self, channels: int, num_classes: int = 0) -> None:
        super().__init__()
        self.norm = ConditionalBatchNorm(channels, num_classes) if num_classes else nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """[N, channels, H, W], one-hot classes [N, num_classes] -> [N, channels, H, W]."""
        y: Tensor = self.norm(x) if classes is None else self.norm(x, classes)
        return y.relu_()


class GeneratorBlock(nn.Module):
    """Block that doubles the resolution: two convolutions beside a shortcut.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        num_classes: Number of classes; 0 is unconditional.
        upsampling: How pixels in between are filled.
    """

    def __init__(self, in_channels: int, out_channels: int, num_classes: int, upsampling: Upsampling) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(in_channels, num_classes), Norm(out_channels, num_classes)
        self.conv1 = convolution(in_channels, out_channels, 3, RESIDUAL_GAIN)
        self.conv2 = convolution(out_channels, out_channels, 3, RESIDUAL_GAIN)
        self.shortcut = convolution(in_channels, out_channels, 1)
        self.upsampling = upsampling

    def up(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, 2H, 2W]."""
        return nn.functional.interpolate(x, scale_factor=2.0, mode=self.upsampling)

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """[N, in_channels, H, W], one-hot classes [N, num_classes] -> [N, out_channels, 2H, 2W]."""
        y = self.conv1(self.up(self.norm1(x, classes)))
        y = self.conv2(self.norm2(y, classes))
        # A 1x1 convolution commutes with the upsampling, and is cheaper before it.
        out: Tensor = y + self.up(self.shortcut(x))
        return out


class Synthesis(nn.Module):
    """Styles to images.

    Args:
        resolution: Width and height of the images.
        num_channels: Colours of the image.
        num_classes: Number of classes; 0 is unconditional.
        z_dim: Width of the latent z.
        width: Channels of the narrowest layer.
        upsampling: How the blocks fill pixels in between.
    """

    def __init__(
        self, resolution: int, num_channels: int, num_classes: int, z_dim: int, width: int, upsampling: Upsampling
    ) -> None:
        super().__init__()
        plan = plan_of(resolution, "SNGANGenerator")
        channels = [width * multiple for multiple in plan.generator]
        self.z_dim, self.num_classes = z_dim, num_classes
        self.first = (channels[0], plan.first, plan.first)
        self.dense = nn.Linear(z_dim, channels[0] * plan.first**2)
        self.blocks = nn.ModuleList(
            GeneratorBlock(before, after, num_classes, upsampling) for before, after in pairwise(channels)
        )
        self.norm = Norm(channels[-1])
        self.torgb = convolution(channels[-1], num_channels, 3)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def forward(self, styles: Tensor, noise_mode: NoiseMode = "random") -> Tensor:
        """z and one-hot classes [N, z_dim + num_classes] -> images [N, C, R, R] in [-1, 1]; there is no noise."""
        x = self.dense(styles[:, : self.z_dim]).unflatten(1, self.first)
        classes = styles[:, self.z_dim :] if self.num_classes else None
        for block in self.blocks:
            x = block(x, classes)
        return widened(self.torgb(self.norm(x))).tanh()


class SNGANGenerator(Generator):
    """SNGAN generator; with classes, the batch normalisation of its blocks has a gain and a bias of each class.

    Args:
        resolution: Width and height of the images: 32, 48, 64, 128 or 256.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        z_dim: Width of the latent z.
        width: Channels of the narrowest layer, which the others are multiples of; null is the published number, 256 at
            32x32 and 64 elsewhere.
        upsampling: How its blocks fill pixels in between: nearest as published, or bilinear as in torch-mimicry.

    Raises:
        ValueError: There is no such network for the resolution, a size is below 1, or the upsampling is unknown.
    """

    has_noise = False
    repeatable = False
    synthesis: Synthesis

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        z_dim: int = 128,
        width: int | None = None,
        upsampling: Upsampling = "nearest",
    ) -> None:
        super().__init__()
        self.remember(locals())
        plan = plan_of(resolution, type(self).__name__)
        width = plan.width[0] if width is None else width
        check_at_least_one(z_dim=z_dim, width=width)
        if upsampling not in get_args(Upsampling):
            raise ValueError(f"upsampling {upsampling!r} is unknown: expected 'nearest' or 'bilinear'")
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.z_dim = z_dim
        self.synthesis = Synthesis(resolution, num_channels, num_classes, z_dim, width, upsampling)

    def styles(self, latents: Latents, labels: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """Latents and class indices [N] -> z and one-hot classes [N, z_dim + num_classes].

        Raises:
            ValueError: As for every generator without a mapping network.
        """
        z = super().styles(latents, labels, truncation_psi)
        return z if labels is None else torch.cat([z, one_hot(labels, self.num_classes, z.dtype)], dim=1)
