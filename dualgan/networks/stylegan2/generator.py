"""StyleGAN2's skip generator."""

import torch
from torch import Tensor, nn

from dualgan.networks.base import Generator, NoiseMode, check_resolution
from dualgan.networks.layers import LEAKY_GAIN, FIRUpsample, ModulatedConv2d, ToRGB, leaky_relu
from dualgan.networks.stylegan2.mapping import MappingNetwork, block_resolutions, num_features

NOISE_MODES = ("random", "const", "none")


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
        super().__init__(in_channels, out_channels, w_dim, up=up, gain=LEAKY_GAIN)
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
        self.torgb = ToRGB(out_channels, num_channels, w_dim)
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
