"""StyleGAN2's residual discriminator."""

import math

import torch
from torch import Tensor, nn

from dualgan.networks.base import Discriminator, check_images, check_labels, check_resolution
from dualgan.networks.layers import EqualizedConv2d, EqualizedLinear, MinibatchStd
from dualgan.networks.stylegan2.mapping import MappingNetwork, block_resolutions, num_features


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the resolution; the first one also takes the image in.

    Args:
        in_channels: Channels of the input, or of the first layer where `num_channels` is given.
        out_channels: Channels of the output.
        num_channels: Colours of the image for the first block, 0 for the others.
    """

    def __init__(self, in_channels: int, out_channels: int, num_channels: int = 0) -> None:
        super().__init__()
        self.fromrgb = EqualizedConv2d(num_channels, in_channels, 1) if num_channels else None
        self.conv0 = EqualizedConv2d(in_channels, in_channels, 3)
        # Config E, residual D: (x + t) / sqrt 2
        self.conv1 = EqualizedConv2d(in_channels, out_channels, 3, down=2, gain=math.sqrt(0.5))
        self.skip = EqualizedConv2d(
            in_channels, out_channels, 1, down=2, bias=False, activate=False, gain=math.sqrt(0.5)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels or num_channels, H, W] -> [N, out_channels, H / 2, W / 2]."""
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        skip = self.skip(x)
        y: Tensor = self.conv1(self.conv0(x)) + skip
        return y


class DiscriminatorEpilogue(nn.Module):
    """Minibatch standard deviation, convolution at 4x4, dense layer, output.

    Args:
        channels: Channels of the input.
        out_features: Width of the output.
        group_size: Samples per minibatch-std group.
    """

    def __init__(self, channels: int, out_features: int, group_size: int) -> None:
        super().__init__()
        self.minibatch_std = MinibatchStd(group_size)
        self.conv = EqualizedConv2d(channels + 1, channels, 3)
        self.fc = EqualizedLinear(channels * 16, channels, activate=True)
        self.out = EqualizedLinear(channels, out_features)

    def features(self, x: Tensor, kinds: int) -> Tensor:
        """[N, channels, 4, 4] -> last hidden layer [N, channels]."""
        hidden: Tensor = self.fc(self.conv(self.minibatch_std(x, kinds)).flatten(1))
        return hidden


class StyleGAN2Discriminator(Discriminator):
    """StyleGAN2 discriminator, config E by default; with classes, logits are projections on a label embedding.

    Args:
        resolution: Width and height of the images, a power of two from 8 to 1024.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        channel_base: Channels times resolution; 16384 is config E, 32768 is config F.
        channel_max: Upper bound on the channels of any layer.
        mapping_layers: Dense layers of the label embedding; has no effect without classes.
        minibatch_std_group: Samples per minibatch-std group.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024.
    """

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        channel_base: int = 16384,
        channel_max: int = 512,
        mapping_layers: int = 8,
        minibatch_std_group: int = 4,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_resolution(resolution)
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.blocks: list[str] = []
        channels = {r: num_features(r, channel_base, channel_max) for r in block_resolutions(resolution)}
        for r in reversed(block_resolutions(resolution)[1:]):
            colours = num_channels if r == resolution else 0
            self.add_module(f"b{r}", DiscriminatorBlock(channels[r], channels[r // 2], colours))
            self.blocks.append(f"b{r}")
        embed_dim = channels[4] if num_classes > 0 else 0
        self.b4 = DiscriminatorEpilogue(channels[4], embed_dim or 1, minibatch_std_group)
        self.mapping = MappingNetwork(0, embed_dim, num_classes, None, mapping_layers) if num_classes > 0 else None

    def features(self, images: Tensor, labels: Tensor | None = None, kinds: int = 1) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> last hidden layer [N, d].

        `labels` are accepted for a common interface: the projection comes after this layer. The minibatch-std groups
        stay within each of the `kinds` equal parts of the batch.
        """
        x = images
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return self.b4.features(x, kinds)

    def pair(self, real: Tensor, fake: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits [N] of real and [N] of generated images of the same classes, from one pass over both.

        The same values as two calls give, in fewer and larger operations.
        """
        both = None if labels is None else labels.repeat(2)
        real_logits, fake_logits = self(torch.cat([real, fake]), both, kinds=2).chunk(2)
        return real_logits, fake_logits

    def forward(self, images: Tensor, labels: Tensor | None = None, kinds: int = 1) -> Tensor:
        """Images [N, C, R, R] in [-1, 1], class indices [N] -> logits [N], float32.

        Raises:
            ValueError: Labels do not match `num_classes`, or the batch its minibatch-std groups.
        """
        check_labels(labels, self.num_classes, len(images))
        check_images(images, self.num_channels, self.resolution)
        out: Tensor = self.b4.out(self.features(images, labels, kinds)).float()
        if self.mapping is None:
            return out.squeeze(1)
        # Miyato & Koyama, ICLR 2018, Eq. 5, as StyleGAN2-ADA scales it
        embedding: Tensor = self.mapping(None, labels).float()
        return (out * embedding).sum(dim=1) / math.sqrt(embedding.shape[1])
