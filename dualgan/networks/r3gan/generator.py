"""R3GAN's generator."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks.base import Generator, Latents, NoiseMode, check_at_least_one, check_resolution, one_hot
from dualgan.networks.convolution import pointwise
from dualgan.networks.layers import FIRUpsample, widened
from dualgan.networks.r3gan.blocks import (
    CHANNEL_BASE,
    CHANNEL_MAX,
    GROUP_WIDTH,
    drawn,
    fixup_gain,
    residual_blocks,
    stage_widths,
)


class Basis(nn.Module):
    """Learned 4x4 maps, one per channel, scaled by a linear function of the style.

    Args:
        style_dim: Width of the style.
        channels: Channels of the output.
    """

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(channels, 4, 4))
        self.scale = drawn(channels, style_dim)

    def forward(self, styles: Tensor) -> Tensor:
        """[N, style_dim] -> [N, channels, 4, 4]."""
        scaled = self.maps * F.linear(styles, self.scale)[:, :, None, None]
        return scaled.contiguous(memory_format=torch.channels_last)


class Up(nn.Module):
    """Double the resolution; a 1x1 convolution before changes the number of channels where it must.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = drawn(out_channels, in_channels, 1, 1) if in_channels != out_channels else None
        self.upsample = FIRUpsample()

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, 2H, 2W]."""
        wide: Tensor = self.upsample(x if self.weight is None else pointwise(x, self.weight))
        return wide


class R3GANSynthesis(nn.Module):
    """Styles -> image: the basis, then blocks and a doubling in turn.

    Args:
        style_dim: Width of the style.
        num_channels: Colours of the image.
        widths: Channels of the stage at each resolution.
        group_width: Channels of a group.
        blocks_per_stage: Residual blocks per resolution.
    """

    def __init__(
        self, style_dim: int, num_channels: int, widths: Mapping[int, int], group_width: int, blocks_per_stage: int
    ) -> None:
        super().__init__()
        gain = fixup_gain(blocks_per_stage * len(widths))
        self.style_dim = style_dim
        self.basis = Basis(style_dim, widths[4])
        self.stages = nn.Sequential()
        for r, channels in widths.items():
            if r > 4:
                self.stages.add_module(f"up{r}", Up(widths[r // 2], channels))
            self.stages.add_module(f"b{r}", residual_blocks(blocks_per_stage, channels, group_width, gain))
        self.torgb = drawn(num_channels, channels, 1, 1)

    def forward(self, styles: Tensor, noise_mode: NoiseMode = "random") -> Tensor:
        """Styles [N, style_dim] -> images [N, num_channels, R, R], float32 around [-1, 1].

        `noise_mode` is accepted for a common interface: there is no noise.

        Raises:
            ValueError: Styles of another shape.
        """
        if styles.shape[1:] != (self.style_dim,):
            raise ValueError(f"styles of shape {tuple(styles.shape)}: expected [N, {self.style_dim}]")
        return widened(pointwise(self.stages(self.basis(styles)), self.torgb))


class R3GANGenerator(Generator):
    """R3GAN's generator, that of CIFAR-10 at 32, of FFHQ at 64 and 256 by default; its styles are z, and the class.

    The rule that these follow gives the widths of other resolutions. The networks of ImageNet have
    `channel_max=1536, group_width=32` and, at 32, `channel_base=49152`, at 64 `channel_base=98304`.

    Source: Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024, section 4.

    Args:
        resolution: Width and height of the images, a power of two from 8 to 1024.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        z_dim: Width of the latent z.
        embed_dim: Width of the embedding of the class, which is put beside z; has no effect without classes.
        channel_base: Channels times resolution, as far as `channel_max` allows.
        channel_max: Upper bound on the channels between blocks; inside of a block there are twice as many.
        group_width: Channels of a group of the 3x3 convolutions.
        blocks_per_stage: Residual blocks per resolution.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024, a size is below 1, or channels do not split into
            groups.
    """

    has_noise = False
    synthesis: R3GANSynthesis

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        z_dim: int = 64,
        embed_dim: int = 64,
        channel_base: int = CHANNEL_BASE,
        channel_max: int = CHANNEL_MAX,
        group_width: int = GROUP_WIDTH,
        blocks_per_stage: int = 2,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_resolution(resolution, "R3GAN")
        check_at_least_one(z_dim=z_dim, embed_dim=embed_dim, group_width=group_width, blocks_per_stage=blocks_per_stage)
        self.resolution, self.num_channels, self.num_classes, self.z_dim = resolution, num_channels, num_classes, z_dim
        widths = stage_widths(resolution, channel_base, channel_max, group_width)
        self.embedding = drawn(embed_dim, num_classes) if num_classes else None
        style_dim = z_dim + (embed_dim if num_classes else 0)
        self.synthesis = R3GANSynthesis(style_dim, num_channels, widths, group_width, blocks_per_stage)

    def styles(self, latents: Latents, labels: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """Latents and class indices [N] -> z, with classes beside their embedding: [N, z_dim + embed_dim].

        Raises:
            ValueError: Truncation was asked for, or the labels do not fit.
        """
        z = super().styles(latents, labels, truncation_psi)
        if self.embedding is None:
            return z
        assert labels is not None
        embedded = F.linear(one_hot(labels, self.num_classes, self.embedding.dtype), self.embedding)
        return torch.cat([z, embedded.to(z.dtype)], dim=1)
