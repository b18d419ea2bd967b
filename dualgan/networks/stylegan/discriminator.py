"""The first StyleGAN's discriminator."""

from torch import Tensor, nn

from dualgan.networks.base import check_at_least_one, check_images, check_reference, check_resolution
from dualgan.networks.epilogue import DiscriminatorEpilogue, EpilogueDiscriminator
from dualgan.networks.growth import PUBLISHED_KIMG, GrowFrom, Growth, planned, shrunk
from dualgan.networks.layers import EqualizedConv2d, widened
from dualgan.networks.pyramid import block_resolutions, num_features
from dualgan.networks.stylegan.resampling import DownConv


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second of which halves the resolution.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        num_channels: Colours of the image that this block can take in, 0 for none.
    """

    def __init__(self, in_channels: int, out_channels: int, num_channels: int) -> None:
        super().__init__()
        self.fromrgb = EqualizedConv2d(num_channels, in_channels, 1) if num_channels else None
        self.conv0 = EqualizedConv2d(in_channels, in_channels, 3)
        self.conv1 = DownConv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H / 2, W / 2]."""
        y: Tensor = self.conv1(self.conv0(x))
        return y


class LastBlock(DiscriminatorEpilogue):
    """The epilogue, which a growing network's images of 4x4 come into.

    Args:
        channels: Channels of the input.
        out_features: Width of the output.
        group_size: Samples per minibatch-std group.
        num_channels: Colours of the image that this block can take in, 0 for none.
    """

    def __init__(self, channels: int, out_features: int, group_size: int, num_channels: int) -> None:
        super().__init__(channels, out_features, group_size)
        self.fromrgb = EqualizedConv2d(num_channels, channels, 1) if num_channels else None


class StyleGANDiscriminator(EpilogueDiscriminator):
    """The first StyleGAN's discriminator, that of progressive growing with a blur; with classes, a logit for each.

    Args:
        resolution: Width and height of the images, a power of two from 8 to 1024.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        channel_base: Channels times resolution.
        channel_max: Upper bound on the channels of any layer.
        minibatch_std_group: Samples per minibatch-std group.
        grow_from: Resolution that progressive growing starts with, 8 in the published trainings, and every level then
            has a FromRGB of its own; null has all layers from the start and one FromRGB; "published" is 8 at 1024 and
            null elsewhere. The generator must grow alike.
        level_kimg: Thousands of real images that every level is trained for.
        fade_kimg: Thousands of real images in which the next level fades in.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024, a size is below 1, or it cannot grow like that.
    """

    b4: LastBlock

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        channel_base: int = 16384,
        channel_max: int = 512,
        minibatch_std_group: int = 4,
        grow_from: GrowFrom = "published",
        level_kimg: float = PUBLISHED_KIMG,
        fade_kimg: float = PUBLISHED_KIMG,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_resolution(resolution, "StyleGAN")
        check_at_least_one(minibatch_std_group=minibatch_std_group)
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.minibatch_std_group = minibatch_std_group
        self.growth = planned(resolution, grow_from, level_kimg, fade_kimg)
        channels = {r: num_features(r, channel_base, channel_max) for r in block_resolutions(resolution)}
        self.blocks = [f"b{r}" for r in reversed(channels) if r > 4]
        of_levels = 0 if self.growth is None else num_channels
        for r in reversed(block_resolutions(resolution)[1:]):
            colours = num_channels if r == resolution else of_levels
            self.add_module(f"b{r}", DiscriminatorBlock(channels[r], channels[r // 2], colours))
        self.trunk_width = channels[4]
        self.b4 = LastBlock(channels[4], num_classes or 1, minibatch_std_group, of_levels)

    @property
    def growing(self) -> Growth | None:
        """See `Network.growing`."""
        return self.growth

    def trunk(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> features [N, trunk_width, 4, 4], before minibatch-std.

        `labels` are accepted for a common interface.

        Raises:
            ValueError: The images are of another shape, or reference images were given.
        """
        check_images(images, self.num_channels, self.resolution)
        check_reference(reference, self.takes_reference, images, kinds)
        first = self.resolution if self.growth is None else self.growth.layers.resolution
        image = shrunk(images, self.resolution // first)
        x = self.taken_in(image, first)
        if first == 4:
            return x
        x = self.get_submodule(f"b{first}")(x)
        if self.growth is not None and self.growth.layers.fading:
            x = self.growth.blend(self.taken_in(shrunk(image, 2), first // 2), x)
        for r in reversed(block_resolutions(first // 2)[1:]):
            x = self.get_submodule(f"b{r}")(x)
        return x

    def taken_in(self, image: Tensor, resolution: int) -> Tensor:
        """Image [N, C, r, r] -> input of the block of this resolution."""
        x: Tensor = self.get_submodule(f"b{resolution}.fromrgb")(image)
        return x

    def logits(self, trunk: Tensor, labels: Tensor | None = None, kinds: int = 1) -> Tensor:
        """See `EpilogueDiscriminator.logits`."""
        logits = widened(self.b4.out(self.b4.features(trunk, kinds)))
        # Mescheder et al., ICML 2018: a logit for every class, of which that of the label counts
        return (logits if labels is None else logits.gather(1, labels[:, None])).squeeze(1)
