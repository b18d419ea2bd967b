"""StyleGAN2's residual discriminator."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dualgan.networks.attention import Attention, ReferenceAttention
from dualgan.networks.attention.base import Position
from dualgan.networks.attention.placement import placed_attention
from dualgan.networks.base import (
    check_at_least_one,
    check_images,
    check_reference,
    check_resolution,
)
from dualgan.networks.epilogue import DiscriminatorEpilogue, EpilogueDiscriminator
from dualgan.networks.layers import (
    LEAKY_GAIN,
    Clamped,
    EqualizedConv2d,
    leaky_relu,
    set_clamp,
    widened,
)
from dualgan.networks.mapping import MappingNetwork
from dualgan.networks.pyramid import block_resolutions, num_features

ATTENTION_RESOLUTIONS = (8, 16, 32)


class AttentionLayer(Clamped):
    """Attention in the place of a convolution: the module, bias and leaky ReLU.

    Args:
        channels: Channels of input and output.
        resolution: Resolution of input and output.
        attention: Makes the attention module for a number of channels.

    Raises:
        ValueError: The attention needs more channels or pixels than the layer has.
    """

    def __init__(self, channels: int, resolution: int, attention: Callable[[int], Attention]) -> None:
        super().__init__()
        self.attention = attention(channels)
        self.attention.check_size(resolution, resolution)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, primary: Tensor, reference: Tensor | None = None) -> Tensor:
        """Primary features [N, channels, H, W], reference features [N / kinds, ...] -> [N, channels, H, W]."""
        shared = () if reference is None else (reference, len(primary) // len(reference))
        y = self.attention(primary, *shared)
        bias = (self.bias * LEAKY_GAIN)[None, :, None, None].to(y.dtype)
        return self.bounded(leaky_relu(torch.add(bias, y, alpha=LEAKY_GAIN)))


class DiscriminatorBlock(nn.Module):
    """Block that halves the resolution; the first one also takes the image in.

    Args:
        in_channels: Channels of the input, or of the first layer where `num_channels` is given.
        out_channels: Channels of the output.
        resolution: Resolution of the input.
        num_channels: Colours of the image for the first block, 0 for the others.
        attention: What takes the place of the first convolution, if anything.
        residual: Add the input, reduced, to the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        resolution: int,
        num_channels: int = 0,
        attention: Callable[[int], Attention] | None = None,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.fromrgb = EqualizedConv2d(num_channels, in_channels, 1) if num_channels else None
        self.conv0: EqualizedConv2d | AttentionLayer = (
            EqualizedConv2d(in_channels, in_channels, 3)
            if attention is None
            else AttentionLayer(in_channels, resolution, attention)
        )
        # Config E, residual D: (x + t) / sqrt 2
        gain = math.sqrt(0.5) if residual else 1.0
        self.conv1 = EqualizedConv2d(in_channels, out_channels, 3, down=2, gain=gain)
        self.skip = (
            EqualizedConv2d(in_channels, out_channels, 1, down=2, bias=False, activate=False, gain=gain)
            if residual
            else None
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Primary and, for reference attention, reference inputs [N, in_channels or num_channels, H, W].

        Returns:
            [N, out_channels, H / 2, W / 2] for the primary input.
        """
        x, *others = inputs if self.fromrgb is None else (self.fromrgb(image) for image in inputs)
        if self.skip is None:
            plain: Tensor = self.conv1(self.conv0(x, *others))
            return plain
        x, skip = self.skip.beside(x)
        residual: Tensor = self.conv1(self.conv0(x, *others))
        return residual + skip


class StyleGAN2Discriminator(EpilogueDiscriminator):
    """StyleGAN2 discriminator, config E by default; with classes, logits are projections on a label embedding.

    Args:
        resolution: Width and height of the images, a power of two from 8 to 1024.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        channel_base: Channels times resolution; 16384 is config E, 32768 is config F.
        channel_max: Upper bound on the channels of any layer.
        mapping_layers: Dense layers of the label embedding; has no effect without classes.
        minibatch_std_group: Samples per minibatch-std group.
        attention: Takes the place of the first convolution at `attention_resolution`: ReferenceAttention (main paper,
            Eq. 8), a self-attention module such as SAN, or a callable from the layer's channels to one of them, such
            as `partial(ReferenceAttention, sources="eq1")`.
        attention_resolution: Where: 8, 16 or 32; set both or none.
        conv_clamp: Bound on the output of convolutions; null for none. Imported networks were often trained with 256.
        residual: Blocks add their input to their output; false is the plain network of StyleGAN2-ADA for CIFAR-10.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024, the attention does not fit the network, a size is
            below 1, or conv_clamp is not positive.
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
        attention: Callable[[int], Attention] | None = None,
        attention_resolution: int | None = None,
        conv_clamp: float | None = None,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_resolution(resolution)
        check_at_least_one(minibatch_std_group=minibatch_std_group, mapping_layers=mapping_layers)
        self.minibatch_std_group = minibatch_std_group
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        valid = [r for r in block_resolutions(resolution) if r in ATTENTION_RESOLUTIONS]
        placed = placed_attention(attention, attention_resolution, valid, f"a discriminator of resolution {resolution}")
        self.attention_resolution = attention_resolution
        self.blocks: list[str] = []
        self.above: list[str] = []  # the layers that primary and reference images both pass
        channels = {r: num_features(r, channel_base, channel_max) for r in block_resolutions(resolution)}
        for r in reversed(block_resolutions(resolution)[1:]):
            colours = num_channels if r == resolution else 0
            block = DiscriminatorBlock(channels[r], channels[r // 2], r, colours, placed.get(r), residual)
            self.add_module(f"b{r}", block)
            if isinstance(block.conv0, AttentionLayer) and isinstance(block.conv0.attention, ReferenceAttention):
                self.takes_reference, self.above = True, list(self.blocks)
            self.blocks.append(f"b{r}")
        embed_dim = channels[4] if num_classes > 0 else 0
        self.trunk_width = channels[4]
        self.b4 = DiscriminatorEpilogue(channels[4], embed_dim or 1, minibatch_std_group)
        self.mapping = MappingNetwork(0, embed_dim, num_classes, None, mapping_layers) if num_classes > 0 else None
        set_clamp(self, conv_clamp)

    def trunk(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        """Images [N, C, R, R] in [-1, 1], reference images [N / kinds, C, R, R] -> [N, trunk_width, 4, 4].

        The features of the last residual block, before minibatch-std. `labels` are accepted for a common interface.

        Raises:
            ValueError: The images are of another shape, or reference images are missing, superfluous or of another one.
        """
        check_images(images, self.num_channels, self.resolution)
        check_reference(reference, self.takes_reference, images, kinds)
        inputs = (images,) if reference is None else self.encode(images, reference)
        first, *below = self.blocks[len(self.above) :]
        return self.run(below, self.get_submodule(first)(*inputs))

    def run(self, blocks: Sequence[str], x: Tensor) -> Tensor:
        """Pass some blocks."""
        for name in blocks:
            x = self.get_submodule(name)(x)
        return x

    # Main paper, section 3.3: T_pri and T_ref come from the same layers
    def encode(self, images: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Primary and reference images -> T_pri, T_ref, what the block with reference attention takes in.

        One pass over both, unless only the primary images need a gradient: in G's step and in D's penalties the
        reference images then cost no more than their weights' gradient, or none at all where those are frozen.
        """
        if images.requires_grad:
            return self.run(self.above, images), self.run(self.above, reference)
        both = self.run(self.above, torch.cat([images, reference]))
        return both[: len(images)], both[len(images) :]

    def logits(self, trunk: Tensor, labels: Tensor | None = None, kinds: int = 1) -> Tensor:
        """See `EpilogueDiscriminator.logits`."""
        out = widened(self.b4.out(self.b4.features(trunk, kinds)))
        if self.mapping is None:
            return out.squeeze(1)
        # Miyato & Koyama, ICLR 2018, Eq. 5, as StyleGAN2-ADA scales it
        embedding = widened(self.mapping(None, labels))
        return (out * embedding).sum(dim=1) / math.sqrt(embedding.shape[1])

    def attention_maps(self, images: Tensor, reference: Tensor, positions: Sequence[Position]) -> Tensor:
        """Where D looks in reference images from some positions: norm of the weights over channels.

        Args:
            images: [N, C, R, R] in [-1, 1].
            reference: As the images, one for each.
            positions: P pairs (row, column) in pixels of the map at `attention_resolution`.

        Returns:
            [N, P, S, S], not negative, the position in the middle.

        Raises:
            ValueError: The discriminator has no reference attention, images do not fit, or a position lies outside.
        """
        if not self.takes_reference:
            return super().attention_maps(images, reference, positions)
        check_images(images, self.num_channels, self.resolution)
        check_reference(reference, self.takes_reference, images)
        block = self.get_submodule(self.blocks[len(self.above)])
        assert isinstance(block, DiscriminatorBlock)
        assert isinstance(block.conv0, AttentionLayer)
        assert isinstance(block.conv0.attention, ReferenceAttention)
        primary, other = self.encode(images, reference)
        if block.fromrgb is not None:
            primary, other = block.fromrgb(primary), block.fromrgb(other)
        return block.conv0.attention.attention_map(primary, other, positions)
