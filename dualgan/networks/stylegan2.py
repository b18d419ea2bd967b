"""StyleGAN2 (Karras et al., CVPR 2020), config E by default: skip generator, residual discriminator.

State-dict names and numerics follow the published implementations, so that their weights load as they are.
"""

import math

import torch
from torch import Tensor, nn

from dualgan.networks.base import (
    Discriminator,
    Generator,
    NoiseMode,
    check_images,
    check_labels,
    check_resolution,
    one_hot,
)
from dualgan.networks.layers import (
    LEAKY_GAIN,
    EqualizedConv2d,
    EqualizedLinear,
    FIRUpsample,
    MinibatchStd,
    ModulatedConv2d,
    leaky_relu,
    normalize_second_moment,
)

NOISE_MODES = ("random", "const", "none")


def block_resolutions(resolution: int) -> list[int]:
    """[4, 8, ..., resolution]."""
    return [2**k for k in range(2, int(math.log2(resolution)) + 1)]


def num_features(resolution: int, channel_base: int, channel_max: int) -> int:
    """Channels of the block at `resolution`: min(channel_base / resolution, channel_max).

    Raises:
        ValueError: None would be left.
    """
    if channel_base < resolution or channel_max < 1:
        raise ValueError(
            f"channel_base {channel_base} and channel_max {channel_max} leave no channels at resolution {resolution}: "
            f"a layer has min(channel_base / resolution, channel_max) of them; config E has 16384 and 512"
        )
    return min(channel_base // resolution, channel_max)


class MappingNetwork(nn.Module):
    """Eight dense layers from z (and a class embedding) to w, which is broadcast to all layers.

    Args:
        z_dim: Width of z; 0 for a discriminator's mapping of labels alone.
        w_dim: Width of w.
        num_classes: Number of classes, 0 without.
        num_ws: Copies of w to return; None returns one without a layer axis.
        num_layers: Dense layers.
        lr_multiplier: Learning rate of these layers relative to the others.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_classes: int = 0,
        num_ws: int | None = None,
        num_layers: int = 8,
        lr_multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        self.z_dim, self.num_classes, self.num_ws, self.num_layers = z_dim, num_classes, num_ws, num_layers
        embed_dim = w_dim if num_classes > 0 else 0
        if embed_dim:
            self.embed = EqualizedLinear(num_classes, embed_dim)
        widths = [z_dim + embed_dim] + [w_dim] * num_layers
        for i in range(num_layers):
            self.add_module(
                f"fc{i}", EqualizedLinear(widths[i], widths[i + 1], activate=True, lr_multiplier=lr_multiplier)
            )
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, labels: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """z [N, z_dim], class indices [N] -> [N, num_ws, w_dim], moved towards the mean w by 1 - truncation_psi."""
        parts = []
        if z is not None:
            check_labels(labels, self.num_classes, len(z))
            parts.append(normalize_second_moment(z.float()))
        if labels is not None:
            parts.append(normalize_second_moment(self.embed(one_hot(labels, self.num_classes))))
        w = torch.cat(parts, dim=1)
        for i in range(self.num_layers):
            w = self.get_submodule(f"fc{i}")(w)
        assert isinstance(w, Tensor)
        if self.num_ws is None:
            return w
        # StyleGAN, Eq. in appendix B: w' = w_avg + psi (w - w_avg)
        if truncation_psi != 1:
            w = self.w_avg.lerp(w.float(), truncation_psi)
        return w.unsqueeze(1).expand(-1, self.num_ws, -1)

    @torch.no_grad()
    def track(self, w_mean: Tensor, decay: float = 0.995) -> None:
        """Move the running mean of w, used for truncation, towards a batch's mean [w_dim]."""
        self.w_avg.copy_(w_mean.to(self.w_avg.dtype).lerp(self.w_avg, decay))


class StyledConv(ModulatedConv2d):
    """Modulated 3x3 convolution, bias, noise and leaky ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        w_dim: Width of w.
        resolution: Resolution of the output.
        up: 1, or 2 to double the resolution.
    """

    noise_const: Tensor

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, w_dim, up=up, gain=LEAKY_GAIN)
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def noise(self, x: Tensor, mode: NoiseMode) -> Tensor:
        """Noise [N or 1, 1, H, W] for the feature map `x`, times its learned strength and the activation's gain."""
        if mode == "random":
            sample = torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device)
        else:
            sample = self.noise_const[None, None]
        return (sample * (self.noise_strength * self.gain)).to(x.dtype)

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode = "random") -> Tensor:
        """[N, in_channels, H, W], w [N, w_dim] -> [N, out_channels, up H, up W]."""
        y = super().forward(x, w)
        if noise_mode != "none":
            y = y.add_(self.noise(y, noise_mode))
        return leaky_relu(y)


class SynthesisBlock(nn.Module):
    """One resolution of the skip generator: up to two styled convolutions and the image's increment.

    Args:
        in_channels: Channels from the block below; 0 for the first, which starts from a learned constant.
        out_channels: Channels of this block.
        w_dim: Width of w.
        resolution: Resolution of this block.
        num_channels: Colours of the image.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int, num_channels: int) -> None:
        super().__init__()
        self.is_first = in_channels == 0
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, up=2)
            self.upsample = FIRUpsample()
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution)
        self.torgb = ModulatedConv2d(out_channels, num_channels, 1, w_dim, demodulate=False)
        self.num_convs = 1 if self.is_first else 2

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise_mode: NoiseMode
    ) -> tuple[Tensor, Tensor]:
        """Features and image of the block below, ws [N, num_convs + 1, w_dim] -> features and image of this one."""
        latents = iter(ws.unbind(dim=1))
        if x is None:
            x = self.const.expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x, next(latents), noise_mode)
        x = self.conv1(x, next(latents), noise_mode)
        increment = self.torgb(x, next(latents)).float()
        return x, increment if image is None else self.upsample(image) + increment


class SynthesisNetwork(nn.Module):
    """ws -> image, one block per resolution.

    Args:
        w_dim: Width of w.
        resolution: Resolution of the image.
        num_channels: Colours of the image.
        channel_base: Channels times resolution.
        channel_max: Upper bound on channels.
    """

    def __init__(self, w_dim: int, resolution: int, num_channels: int, channel_base: int, channel_max: int) -> None:
        super().__init__()
        self.w_dim = w_dim
        self.blocks: list[str] = []
        self.num_ws = 1  # the last block's ToRGB; every other ToRGB shares its w with the next block's first layer
        below = 0
        for r in block_resolutions(resolution):
            channels = num_features(r, channel_base, channel_max)
            block = SynthesisBlock(below, channels, w_dim, r, num_channels)
            self.add_module(f"b{r}", block)
            self.blocks.append(f"b{r}")
            self.num_ws += block.num_convs
            below = channels

    def forward(self, ws: Tensor, noise_mode: NoiseMode = "random") -> Tensor:
        """ws [N, num_ws, w_dim] -> images [N, num_channels, R, R], float32 around [-1, 1].

        Raises:
            ValueError: Unknown noise mode, or ws of another shape.
        """
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"unknown noise_mode {noise_mode!r}: expected one of {', '.join(NOISE_MODES)}")
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws of shape {tuple(ws.shape)}: expected [N, {self.num_ws}, {self.w_dim}]")
        x: Tensor | None = None
        image: Tensor | None = None
        first = 0
        for name in self.blocks:
            block = self.get_submodule(name)
            assert isinstance(block, SynthesisBlock)
            x, image = block(x, image, ws[:, first : first + block.num_convs + 1], noise_mode)
            first += block.num_convs
        assert image is not None
        return image


class StyleGAN2Generator(Generator):
    """StyleGAN2 generator, config E by default.

    Args:
        resolution: Width and height of the images, a power of two from 8 to 1024.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        z_dim: Width of the latent z.
        w_dim: Width of the intermediate latent w.
        mapping_layers: Dense layers of the mapping network.
        channel_base: Channels times resolution; 16384 is config E, 32768 is config F.
        channel_max: Upper bound on the channels of any layer.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024.
    """

    mapping: MappingNetwork
    synthesis: SynthesisNetwork

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 16384,
        channel_max: int = 512,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_resolution(resolution)
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.z_dim, self.w_dim = z_dim, w_dim
        self.synthesis = SynthesisNetwork(w_dim, resolution, num_channels, channel_base, channel_max)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, w_dim, num_classes, self.num_ws, mapping_layers)


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

    def features(self, x: Tensor) -> Tensor:
        """[N, channels, 4, 4] -> last hidden layer [N, channels]."""
        hidden: Tensor = self.fc(self.conv(self.minibatch_std(x)).flatten(1))
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

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> last hidden layer [N, d].

        `labels` are accepted for a common interface: the projection comes after this layer.
        """
        x = images
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return self.b4.features(x)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1], class indices [N] -> logits [N], float32.

        Raises:
            ValueError: Labels do not match `num_classes`, or the batch its minibatch-std groups.
        """
        check_labels(labels, self.num_classes, len(images))
        check_images(images, self.num_channels, self.resolution)
        out: Tensor = self.b4.out(self.features(images, labels)).float()
        if self.mapping is None:
            return out.squeeze(1)
        # Miyato & Koyama, ICLR 2018, Eq. 5, as StyleGAN2-ADA scales it
        embedding: Tensor = self.mapping(None, labels).float()
        return (out * embedding).sum(dim=1) / math.sqrt(embedding.shape[1])
