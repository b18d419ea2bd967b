"""StyleGAN2's skip generator."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from dualgan.networks.attention import SelfAttention
from dualgan.networks.attention.base import Position
from dualgan.networks.attention.placement import placed_attention
from dualgan.networks.base import (
    NoiseMode,
    check_at_least_one,
    check_resolution,
)
from dualgan.networks.layers import (
    LEAKY_GAIN,
    EqualizedLinear,
    FIRUpsample,
    ModulatedConv2d,
    ToRGB,
    demodulation,
    leaky_relu,
    set_clamp,
    widened,
)
from dualgan.networks.mapping import MappedGenerator, MappingNetwork
from dualgan.networks.noise import Noise, check_noise_mode, remove_noise
from dualgan.networks.pyramid import block_resolutions, num_features
from dualgan.networks.stylegan2.scaled import Scaled, add_outer, leaves_scaled

ATTENTION_RESOLUTIONS = (8, 16, 32, 64, 128)


class StyledConv(ModulatedConv2d, Noise):
    """Modulated 3x3 convolution, bias, noise and leaky ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        w_dim: Width of w.
        resolution: Resolution of the output.
        up: 1, or 2 to double the resolution.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up: int = 1) -> None:
        super().__init__(in_channels, out_channels, w_dim, up=up, gain=LEAKY_GAIN)
        self.add_noise_parameters(resolution)

    def forward(self, x: Scaled, w: Tensor, noise_mode: NoiseMode = "random") -> Scaled:  # type: ignore[override]
        """Map [N, in_channels, H, W], w [N, w_dim] -> map [N, out_channels, up H, up W], whose factor may wait."""
        if self.clamp is None and leaves_scaled(x.features.device.type):
            return self._left_scaled(x, w, noise_mode)
        return Scaled(self.finish(super().forward(x.map(), w), noise_mode))

    def _left_scaled(self, x: Scaled, w: Tensor, noise_mode: NoiseMode) -> Scaled:
        style = self.affine(w)
        y = self.convolve(x.times(style))
        factor = self.gain * demodulation(self.weight, style)
        # (b + n) / d of `scaled`
        maps, shifts = [y.new_ones(1, 1, 1, 1)], [self.bias * self.gain / factor]
        if noise_mode != "none" and self.noise_strength is not None:
            maps.append(self.sample(y, noise_mode))
            shifts.append(self.noise_strength * self.gain / factor)
        return Scaled(leaky_relu(add_outer(y, maps, shifts)), factor)


class StyledAttention(Noise):
    """Attention in the place of a styled convolution: the style modulates its 1x1 convolutions.

    Args:
        channels: Channels of input and output.
        w_dim: Width of w.
        resolution: Resolution of input and output.
        attention: Makes the attention module for a number of channels.

    Raises:
        ValueError: The attention needs a second feature map, or more channels or pixels than the layer has.
    """

    def __init__(self, channels: int, w_dim: int, resolution: int, attention: Callable[[int], SelfAttention]) -> None:
        super().__init__()
        module = attention(channels)
        if not isinstance(module, SelfAttention):
            raise ValueError(
                f"attention {type(module).__name__} looks at a reference image, which a generator has not: "
                f"choose one of {', '.join(sorted(c.__name__ for c in SelfAttention.__subclasses__()))}"
            )
        module.check_size(resolution, resolution)
        self.attention = module
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = EqualizedLinear(w_dim, channels, bias_init=1.0)
        self.gain = LEAKY_GAIN
        self.add_noise_parameters(resolution)

    def forward(self, x: Scaled, w: Tensor, noise_mode: NoiseMode = "random") -> Scaled:
        """Map [N, channels, H, W], w [N, w_dim] -> map [N, channels, H, W]."""
        y = self.attention(x.map(), self.affine(w))
        bias = (self.bias * self.gain)[None, :, None, None].to(y.dtype)
        return Scaled(self.finish(torch.add(bias, y, alpha=self.gain), noise_mode))

    def attention_map(self, x: Scaled, w: Tensor, positions: Sequence[Position]) -> Tensor:
        """Where each position (row, column) looks -> [N, P, ...]; see the attention module."""
        return self.attention.attention_map(x.map(), positions, self.affine(w))


class SynthesisBlock(nn.Module):
    """One resolution of the skip generator: up to two styled convolutions and the image's increment.

    Args:
        in_channels: Channels from the block below; 0 for the first, which starts from a learned constant.
        out_channels: Channels of this block.
        w_dim: Width of w.
        resolution: Resolution of this block.
        num_channels: Colours of the image.
        attention: What takes the place of the second convolution, if anything.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        num_channels: int,
        attention: Callable[[int], SelfAttention] | None = None,
    ) -> None:
        super().__init__()
        self.is_first = in_channels == 0
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, up=2)
            self.upsample = FIRUpsample()
        self.conv1: StyledConv | StyledAttention = (
            StyledConv(out_channels, out_channels, w_dim, resolution)
            if attention is None
            else StyledAttention(out_channels, w_dim, resolution, attention)
        )
        self.torgb = ToRGB(out_channels, num_channels, w_dim)
        self.num_convs = 1 if self.is_first else 2

    @property
    def affines(self) -> list[EqualizedLinear]:
        """What makes the style of each layer, in the order of its ws."""
        later = [self.conv1.affine, self.torgb.affine]
        return later if self.is_first else [self.conv0.affine, *later]

    def enter(self, x: Scaled | None, ws: Tensor, noise_mode: NoiseMode) -> Scaled:
        """Input of this block's last layer: the constant, or the features of the block below, upsampled."""
        if x is None:
            return Scaled(self.const.expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last))
        y: Scaled = self.conv0(x, ws[:, 0], noise_mode)
        return y

    def forward(
        self, x: Scaled | None, image: Tensor | None, ws: Tensor, noise_mode: NoiseMode
    ) -> tuple[Scaled, Tensor]:
        """Features and image of the block below, ws [N, num_convs + 1, w_dim] -> features and image of this one."""
        features: Scaled = self.conv1(self.enter(x, ws, noise_mode), ws[:, -2], noise_mode)
        increment = widened(self.torgb(features.features, ws[:, -1], features.scale))
        return features, increment if image is None else self.upsample(image) + increment


class SynthesisNetwork(nn.Module):
    """ws -> image, one block per resolution.

    Args:
        w_dim: Width of w.
        resolution: Resolution of the image.
        num_channels: Colours of the image.
        channel_base: Channels times resolution.
        channel_max: Upper bound on channels.
        attention: What takes the place of a block's second convolution, by the block's resolution.
    """

    def __init__(
        self,
        w_dim: int,
        resolution: int,
        num_channels: int,
        channel_base: int,
        channel_max: int,
        attention: Mapping[int, Callable[[int], SelfAttention]] | None = None,
    ) -> None:
        super().__init__()
        self.w_dim = w_dim
        self.blocks: list[str] = []
        self.num_ws = 1  # the last block's ToRGB; every other ToRGB shares its w with the next block's first layer
        below = 0
        for r in block_resolutions(resolution):
            channels = num_features(r, channel_base, channel_max)
            block = SynthesisBlock(below, channels, w_dim, r, num_channels, (attention or {}).get(r))
            self.add_module(f"b{r}", block)
            self.blocks.append(f"b{r}")
            self.num_ws += block.num_convs
            below = channels

    def forward(self, ws: Tensor, noise_mode: NoiseMode = "random") -> Tensor:
        """ws [N, num_ws, w_dim] -> images [N, num_channels, R, R], float32 around [-1, 1].

        Raises:
            ValueError: Unknown noise mode, or ws of another shape.
        """
        check_noise_mode(noise_mode)
        x: Scaled | None = None
        image: Tensor | None = None
        for block, block_ws in self.blocks_and_ws(ws):
            x, image = block(x, image, block_ws, noise_mode)
        assert image is not None
        return image

    def blocks_and_ws(self, ws: Tensor) -> Iterator[tuple[SynthesisBlock, Tensor]]:
        """Every block with its part of ws [N, num_ws, w_dim].

        Raises:
            ValueError: ws have another shape.
        """
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws of shape {tuple(ws.shape)}: expected [N, {self.num_ws}, {self.w_dim}]")
        first = 0
        for name in self.blocks:
            block = self.get_submodule(name)
            assert isinstance(block, SynthesisBlock)
            yield block, ws[:, first : first + block.num_convs + 1]
            first += block.num_convs

    def attention_maps(self, ws: Tensor, positions: Sequence[Position]) -> Tensor:
        """See `StyleGAN2Generator.attention_maps`."""
        x: Scaled | None = None
        image: Tensor | None = None
        for block, block_ws in self.blocks_and_ws(ws):
            if isinstance(block.conv1, StyledAttention):
                return block.conv1.attention_map(block.enter(x, block_ws, "const"), block_ws[:, -2], positions)
            x, image = block(x, image, block_ws, "const")
        raise ValueError(
            "this generator has no attention: build one with, for instance, attention=SAN, attention_resolution=32"
        )


class StyleGAN2Generator(MappedGenerator):
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
        attention: Takes the place of the second convolution at `attention_resolution`: SAN, SAGAN, DFN or VT, or a
            callable from the layer's channels to one of them, such as `partial(SAN, footprint=5)`.
        attention_resolution: Where, from 8 to 128; set both or none.
        conv_clamp: Bound on the output of convolutions; null for none. Imported networks were often trained with 256.
        noise: Add noise of a learned strength after every layer. Pictures without random texture, such as rendered
            ones, are learned sooner without it.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024, the attention does not fit the network, a size is
            below 1, or conv_clamp is not positive.
    """

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
        attention: Callable[[int], SelfAttention] | None = None,
        attention_resolution: int | None = None,
        conv_clamp: float | None = None,
        noise: bool = True,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_resolution(resolution)
        check_at_least_one(z_dim=z_dim, w_dim=w_dim, mapping_layers=mapping_layers)
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.has_noise = noise
        self.z_dim, self.w_dim = z_dim, w_dim
        self.attention_resolution = attention_resolution
        valid = [r for r in block_resolutions(resolution) if r in ATTENTION_RESOLUTIONS]
        placed = placed_attention(attention, attention_resolution, valid, f"a generator of resolution {resolution}")
        self.synthesis = SynthesisNetwork(w_dim, resolution, num_channels, channel_base, channel_max, placed)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, w_dim, num_classes, self.num_ws, mapping_layers)
        set_clamp(self, conv_clamp)
        if not noise:
            remove_noise(self)

    def affines(self) -> list[list[EqualizedLinear]]:
        """See the base class; ToRGB shares its w with the first layer of the next block."""
        found: list[list[EqualizedLinear]] = [[] for _ in range(self.num_ws)]
        numbers = torch.arange(self.num_ws)[None, :, None].expand(1, -1, self.w_dim)  # each layer's own, for its w
        for block, of_block in self.synthesis.blocks_and_ws(numbers):
            for k, affine in zip(of_block[0, :, 0].tolist(), block.affines, strict=True):
                found[k].append(affine)
        return found

    def attention_maps(self, ws: Tensor, positions: Sequence[Position]) -> Tensor:
        """Where the attention looks from some positions, with constant noise.

        Args:
            ws: [N, num_ws, w_dim].
            positions: P pairs (row, column) in pixels of the map at `attention_resolution`. A pixel (y, x) of the
                image is at (y * attention_resolution // resolution, x * attention_resolution // resolution).

        Returns:
            Not negative. SAN: norm of the weights over channels [N, P, S, S], the position in the middle. SAGAN:
            softmax over keys [N, P, A / 2, A / 2] at attention resolution A. VT: [N, P, A, A].

        Raises:
            ValueError: The generator has no attention or one without maps, or a position lies outside.
        """
        return self.synthesis.attention_maps(ws, positions)
