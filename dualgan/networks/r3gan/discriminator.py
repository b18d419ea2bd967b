"""R3GAN's discriminator."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks.base import (
    check_at_least_one,
    check_labels,
    check_resolution,
    one_hot,
)
from dualgan.networks.convolution import Geometry, convolve, pointwise
from dualgan.networks.joint import BlockDiscriminator
from dualgan.networks.layers import FIR, widened
from dualgan.networks.r3gan.blocks import (
    CHANNEL_BASE,
    CHANNEL_MAX,
    GROUP_WIDTH,
    drawn,
    fixup_gain,
    residual_blocks,
    stage_widths,
)
from dualgan.runtime.precision import without_autocast


class Stage(nn.Module):
    """Blocks of one resolution, then half of it; the first stage also takes the image in.

    Args:
        channels: Channels of the blocks.
        out_channels: Channels of the next stage; None for the last stage, which keeps its resolution.
        num_channels: Colours of the image for the first stage, 0 for the others.
        group_width: Channels of a group.
        num_blocks: Residual blocks.
        gain: Of their initial weights.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int | None,
        num_channels: int,
        group_width: int,
        num_blocks: int,
        gain: float,
    ) -> None:
        super().__init__()
        self.fromrgb = drawn(channels, num_channels, 1, 1) if num_channels else None
        self.blocks = residual_blocks(num_blocks, channels, group_width, gain)
        self.downsample = None if out_channels is None else FIR(padding=1, down=2)
        self.weight = drawn(out_channels, channels, 1, 1) if out_channels not in (None, channels) else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels or num_channels, H, W] -> [N, out_channels, H / 2, W / 2], or as the blocks leave it."""
        if self.fromrgb is not None:
            x = convolve(x, self.fromrgb, Geometry())
        x = self.blocks(x)
        if self.downsample is not None:
            x = self.downsample(x)
        return x if self.weight is None else pointwise(x, self.weight)


class R3GANDiscriminator(BlockDiscriminator):
    """R3GAN's discriminator, that of CIFAR-10 at 32, of FFHQ at 64 and 256 by default.

    It mirrors `R3GANGenerator`, whose docstring says what the networks of ImageNet have. With classes, logits are
    projections on a linear embedding. No statistics of the batch: each logit is of one image.

    Source: Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024, section 4.

    Args:
        resolution: Width and height of the images, a power of two from 8 to 1024.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        channel_base: Channels times resolution, as far as `channel_max` allows.
        channel_max: Upper bound on the channels between blocks; inside of a block there are twice as many.
        group_width: Channels of a group of the 3x3 convolutions.
        blocks_per_stage: Residual blocks per resolution.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024, a size is below 1, or channels do not split into
            groups.
    """

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        channel_base: int = CHANNEL_BASE,
        channel_max: int = CHANNEL_MAX,
        group_width: int = GROUP_WIDTH,
        blocks_per_stage: int = 2,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_resolution(resolution, "R3GAN")
        check_at_least_one(group_width=group_width, blocks_per_stage=blocks_per_stage)
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        widths = stage_widths(resolution, channel_base, channel_max, group_width)
        gain = fixup_gain(blocks_per_stage * len(widths))
        self.blocks = [f"b{r}" for r in reversed(widths)]
        for r, name in zip(reversed(widths), self.blocks, strict=True):
            colours = num_channels if r == resolution else 0
            stage = Stage(widths[r], widths.get(r // 2), colours, group_width, blocks_per_stage, gain)
            self.add_module(name, stage)
        self.trunk_width = width = widths[4]
        self.basis = nn.Parameter(torch.randn(width, 4, 4) / math.sqrt(16))
        self.out = drawn(width if num_classes else 1, width)
        self.embedding = drawn(width, num_classes, gain=1 / math.sqrt(width)) if num_classes else None

    def features(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> last hidden layer [N, d], float32: each channel's product with a 4x4 map.

        Raises:
            ValueError: As for `trunk`.
        """
        return (widened(self.trunk(images, labels, reference)) * self.basis).sum(dim=(2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1], class indices [N] -> logits [N], float32 under autocast too.

        Raises:
            ValueError: Labels do not match `num_classes`, the images are of another shape, or reference images were
                given.
        """
        check_labels(labels, self.num_classes, len(images))
        features = self.features(images, labels, reference)
        with without_autocast(images.device.type):
            out = F.linear(features, self.out)
            if self.embedding is None or labels is None:
                return out.squeeze(1)
            # Miyato & Koyama, ICLR 2018, Eq. 5, without the term that no class takes part in
            embedded = F.linear(one_hot(labels, self.num_classes, self.embedding.dtype), self.embedding)
            return (out * embedded).sum(dim=1)
