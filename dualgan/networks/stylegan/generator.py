"""The first StyleGAN's generator."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dualgan.networks.base import NoiseMode, check_at_least_one, check_resolution
from dualgan.networks.growth import PUBLISHED_KIMG, GrowFrom, Growth, Layers, enlarged, planned
from dualgan.networks.layers import LEAKY_GAIN, EqualizedConv2d, EqualizedLinear, normalize_second_moment, widened
from dualgan.networks.mapping import MappedGenerator, MappingNetwork
from dualgan.networks.noise import Noise, check_noise_mode, remove_noise
from dualgan.networks.pyramid import block_resolutions, num_features
from dualgan.networks.scale_shift import scale_shift
from dualgan.networks.stylegan.resampling import UpConv

EPSILON = 1e-8


# Section 2, Eq. 1: AdaIN(x, y) = y_s (x - mean(x)) / std(x) + y_b, with y_s = 1 + what is learned
def adaptive_instance_norm(x: Tensor, style: Tensor) -> Tensor:
    """Features [N, C, H, W], style [N, 2 C] -> features of mean y_b and deviation y_s, computed in float32."""
    scale, shift = widened(style)[:, :, None, None].chunk(2, dim=1)
    deviation = widened(x)
    deviation = deviation - deviation.mean(dim=(2, 3), keepdim=True)
    inverse = (deviation.square().mean(dim=(2, 3), keepdim=True) + EPSILON).rsqrt()
    return scale_shift(deviation, (1 + scale) * inverse, shift).to(x.dtype)


class Styled(Noise):
    """What follows a convolution: noise, bias, leaky ReLU, and a style in the place of mean and deviation.

    Args:
        channels: Channels of input and output.
        w_dim: Width of w.
        resolution: Resolution of input and output.
    """

    gain = 1.0  # the activation's is in the convolution

    def __init__(self, channels: int, w_dim: int, resolution: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = EqualizedLinear(w_dim, 2 * channels)
        self.add_noise_parameters(resolution, channels)

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode) -> Tensor:
        """[N, channels, H, W], w [N, w_dim] -> [N, channels, H, W]."""
        y = self.finish(x + self.bias[:, None, None].to(x.dtype), noise_mode)
        return adaptive_instance_norm(y, self.affine(w))


class SynthesisBlock(nn.Module):
    """One resolution: two layers, the first of which doubles it or is a learned constant.

    Args:
        in_channels: Channels from the block below; 0 for the first, which starts from a learned constant.
        out_channels: Channels of this block.
        w_dim: Width of w.
        resolution: Resolution of this block.
        num_channels: Colours of the image that this block can give, 0 for none.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int, num_channels: int) -> None:
        super().__init__()
        if in_channels:
            self.conv0 = UpConv(in_channels, out_channels)
        else:
            self.const = nn.Parameter(torch.ones(out_channels, resolution, resolution))
        self.layer0 = Styled(out_channels, w_dim, resolution)
        self.conv1 = EqualizedConv2d(out_channels, out_channels, 3, bias=False, activate=False, gain=LEAKY_GAIN)
        self.layer1 = Styled(out_channels, w_dim, resolution)
        self.torgb = EqualizedConv2d(out_channels, num_channels, 1, activate=False) if num_channels else None

    def forward(self, x: Tensor | None, ws: Tensor, noise_mode: NoiseMode) -> Tensor:
        """Features of the block below, ws [N, 2, w_dim] -> features of this one."""
        if x is None:
            start = self.const.expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        else:
            start = self.conv0(x)
        y = self.layer0(start, ws[:, 0], noise_mode)
        styled: Tensor = self.layer1(self.conv1(y), ws[:, 1], noise_mode)
        return styled

    def image(self, x: Tensor) -> Tensor:
        """Features of this block -> image, float32."""
        assert self.torgb is not None
        return widened(self.torgb(x))


class SynthesisNetwork(nn.Module):
    """ws -> image, one block per resolution.

    Args:
        w_dim: Width of w.
        resolution: Resolution of the image.
        num_channels: Colours of the image.
        channel_base: Channels times resolution.
        channel_max: Upper bound on channels.
        growth: Where it is on its way, if it grows.
    """

    def __init__(
        self,
        w_dim: int,
        resolution: int,
        num_channels: int,
        channel_base: int,
        channel_max: int,
        growth: Growth | None = None,
    ) -> None:
        super().__init__()
        self.w_dim, self.resolution, self.growth = w_dim, resolution, growth
        self.blocks: dict[int, str] = {}
        below = 0
        for r in block_resolutions(resolution):
            channels = num_features(r, channel_base, channel_max)
            colours = num_channels if growth is not None or r == resolution else 0
            self.blocks[r] = f"b{r}"
            self.add_module(self.blocks[r], SynthesisBlock(below, channels, w_dim, r, colours))
            below = channels
        self.num_ws = 2 * len(self.blocks)

    @property
    def layers(self) -> Layers:
        """Those in use now."""
        return Layers(self.resolution, fading=False) if self.growth is None else self.growth.layers

    def forward(self, ws: Tensor, noise_mode: NoiseMode = "random") -> Tensor:
        """ws [N, num_ws, w_dim] -> images [N, num_channels, R, R], float32 around [-1, 1].

        Raises:
            ValueError: Unknown noise mode, or ws of another shape.
        """
        check_noise_mode(noise_mode)
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws of shape {tuple(ws.shape)}: expected [N, {self.num_ws}, {self.w_dim}]")
        last, fading = self.layers
        x: Tensor | None = None
        image: Tensor | None = None
        for k, (r, block) in enumerate(self.blocks_up_to(last)):
            x = block(x, ws[:, 2 * k : 2 * k + 2], noise_mode)
            if r == last // 2 and fading:
                image = enlarged(block.image(x), 2)
            elif r == last:
                image = block.image(x) if image is None else self.blended(image, block.image(x))
        assert image is not None
        return enlarged(image, self.resolution // last)

    def blended(self, old: Tensor, new: Tensor) -> Tensor:
        """Images of the level before and of the one that fades in."""
        assert self.growth is not None
        return self.growth.blend(old, new)

    def blocks_up_to(self, resolution: int) -> Iterator[tuple[int, SynthesisBlock]]:
        """Resolutions with their blocks, from 4x4 on."""
        for r, name in self.blocks.items():
            if r <= resolution:
                block = self.get_submodule(name)
                assert isinstance(block, SynthesisBlock)
                yield r, block


class StyleGANMapping(MappingNetwork):
    """The mapping network of the first StyleGAN: z and the numbers of its class are normalised as one row."""

    def add_embedding(self, num_classes: int, w_dim: int) -> int:
        """See the base class."""
        if not num_classes:
            return 0
        self.embed = nn.Embedding(num_classes, self.z_dim)
        return self.z_dim

    def join(self, z: Tensor | None, labels: Tensor | None) -> Tensor:
        """See the base class."""
        assert z is not None
        parts = [z.to(self.w_avg.dtype)]
        if labels is not None:
            parts.append(self.embed(labels))
        return normalize_second_moment(torch.cat(parts, dim=1))


class StyleGANGenerator(MappedGenerator):
    """The first StyleGAN's generator: adaptive instance normalisation, learned constant, noise, blur.

    Args:
        resolution: Width and height of the images, a power of two from 8 to 1024.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        z_dim: Width of the latent z.
        w_dim: Width of the intermediate latent w.
        mapping_layers: Dense layers of the mapping network.
        channel_base: Channels times resolution.
        channel_max: Upper bound on the channels of any layer.
        noise: Add noise of a learned strength, one per channel, after every convolution.
        grow_from: Resolution that progressive growing starts with, 8 in the published trainings, and every level then
            has a ToRGB of its own; null has all layers from the start and one ToRGB; "published" is 8 at 1024 and
            null elsewhere. The discriminator must grow alike.
        level_kimg: Thousands of real images that every level is trained for.
        fade_kimg: Thousands of real images in which the next level fades in.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024, a size is below 1, or it cannot grow like that.
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
        noise: bool = True,
        grow_from: GrowFrom = "published",
        level_kimg: float = PUBLISHED_KIMG,
        fade_kimg: float = PUBLISHED_KIMG,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_resolution(resolution, "StyleGAN")
        check_at_least_one(z_dim=z_dim, w_dim=w_dim, mapping_layers=mapping_layers)
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.z_dim, self.w_dim, self.has_noise = z_dim, w_dim, noise
        growth = planned(resolution, grow_from, level_kimg, fade_kimg)
        self.synthesis = SynthesisNetwork(w_dim, resolution, num_channels, channel_base, channel_max, growth)
        self.num_ws = self.synthesis.num_ws
        self.mapping = StyleGANMapping(z_dim, w_dim, num_classes, self.num_ws, mapping_layers)
        if not noise:
            remove_noise(self)

    @property
    def growing(self) -> Growth | None:
        """See `Network.growing`."""
        return self.synthesis.growth

    @property
    def active_ws(self) -> int:
        """Layers that take a style now."""
        return 2 * len(block_resolutions(self.synthesis.layers.resolution))

    def affines(self) -> list[list[EqualizedLinear]]:
        """See the base class."""
        blocks = self.synthesis.blocks_up_to(self.synthesis.layers.resolution)
        return [[layer.affine] for _, block in blocks for layer in (block.layer0, block.layer1)]
