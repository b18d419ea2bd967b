"""BigGAN's generator."""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks.attention.base import Position
from dualgan.networks.base import Generator, Latents, check_at_least_one, one_hot
from dualgan.networks.biggan.blocks import InitialWeights, Layers, Norm, UpBlock
from dualgan.networks.biggan.plan import (
    GENERATOR,
    check_attention_resolution,
    check_biggan_resolution,
    chosen_attention,
    sizes,
)
from dualgan.networks.class_conditional import ClassTable, ConditionalBatchNorm
from dualgan.networks.layers import widened
from dualgan.networks.standing import estimate_batch_statistics


class PlainBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that depends on no condition."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        return super().forward(x)


class Slots(nn.Module):
    """What each part of the generator sees: styles are z and the class as numbers, side by side.

    Args:
        z_dim: Numbers of z.
        class_dim: Numbers that say the class; 0 without classes.
        blocks: Blocks of the generator.
        hierarchical: Blocks see z: with classes the first layer and each block a part of its own (BigGAN), without
            classes all of them the whole (U-Net GAN).
    """

    def __init__(self, z_dim: int, class_dim: int, blocks: int, hierarchical: bool) -> None:
        super().__init__()
        self.z_dim, self.class_dim, self.blocks = z_dim, class_dim, blocks
        self.whole = hierarchical and not class_dim
        self.parts = blocks + 1 if hierarchical and class_dim else 1
        if z_dim % self.parts:
            near = max(z_dim // self.parts, 1) * self.parts
            raise ValueError(
                f"z_dim {z_dim} does not split into {self.parts} equal parts, one for the first layer and one for each "
                f"block: choose a multiple of {self.parts}, such as {near}"
            )
        self.first_dim = z_dim // self.parts
        of_z = z_dim if self.whole else self.first_dim if self.parts > 1 else 0
        self.condition_dim = class_dim + of_z

    # BigGAN, Appendix B, Figure 15: z is split, and each part but the first joins the class embedding
    def forward(self, styles: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[N, z_dim + class_dim] -> what the first layer sees, and what each block's normalisation does."""
        z, of_class = styles[:, : self.z_dim], styles[:, self.z_dim :]
        if self.whole:
            return z, [z] * self.blocks
        first, *others = z.chunk(self.parts, dim=1)
        return first, [torch.cat([of_class, part], dim=1) for part in others] or [of_class] * self.blocks


class BigGANSynthesis(nn.Module):
    """Styles to images.

    Args:
        channels: After the first layer and after each block.
        num_channels: Colours of the image.
        slots: Shares the styles out.
        layers: Makes the layers.
        norm: Makes the normalisation of the blocks.
        attention_resolution: The block that gives it is followed by attention; 0 for none.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_channels: int,
        slots: Slots,
        layers: Layers,
        norm: Norm,
        attention_resolution: int,
    ) -> None:
        super().__init__()
        self.slots = slots
        self.linear = layers.linear(slots.first_dim, channels[0] * 16)
        self.names = [f"b{8 << k}" for k in range(len(channels) - 1)]
        self.attending = f"b{attention_resolution}"
        for name, before, after in zip(self.names, channels[:-1], channels[1:], strict=True):
            self.add_module(name, UpBlock(before, after, layers, norm, attention=name == self.attending))
        self.norm = PlainBatchNorm(channels[-1])
        self.out = layers.conv(channels[-1], num_channels)

    def features(self, styles: Tensor, until: str | None = None) -> Tensor:
        """What the last block gives, or what the attention of the block `until` takes in."""
        first, conditions = self.slots(styles)
        x: Tensor = self.linear(first).unflatten(1, (-1, 4, 4))
        for name, condition in zip(self.names, conditions, strict=True):
            block = self.get_submodule(name)
            assert isinstance(block, UpBlock)
            if name == until:
                return block.before_attention(x, condition)
            x = block(x, condition)
        return x

    def forward(self, styles: Tensor, noise_mode: str = "random") -> Tensor:
        """[N, z_dim + class_dim] -> images [N, C, R, R] in (-1, 1), float32; there is no noise."""
        x = F.relu(self.norm(self.features(styles)))
        return torch.tanh(widened(self.out(x)))


class BigGANGenerator(Generator):
    """BigGAN generator with spectral normalisation; what is not given is as published for the resolution.

    At 32 it is that of CIFAR-10: one z, and a gain and a bias per class in every layer. From 64 on z is hierarchical:
    with classes it is that of ImageNet, whose layers share a class embedding; without classes it is that of U-Net GAN,
    whose normalisation depends on z alone. Published are 32 and 128 with classes, and 128 and 256 without; 256 and 512
    with classes have the paper's sizes, and 64 follows from 128.

    Sources: Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019, with the
    sizes of its authors' PyTorch code; Schonfeld et al., "A U-Net Based Discriminator for GANs", CVPR 2020.

    Args:
        resolution: Width and height of the images: 32, 64, 128, 256 or 512.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        width: Channels that those of all layers are multiples of.
        z_dim: Numbers of z.
        hierarchical: All blocks see z, each a part of its own; without classes each sees all of it.
        shared_dim: Width of the class embedding that all layers share; 0 gives each layer a table of its own. Without
            classes it has no effect.
        attention_resolution: The block that gives it is followed by attention; 0 for none.
        initial_weights: How weights start: orthogonal, or normal with standard deviation 0.02.
        standing_passes: Batches of 64 that the statistics of the averaged generator's batch normalisation are
            estimated from before it is looked at; 0 takes the running statistics of the trained one.

    Raises:
        ValueError: The resolution is none of these, a size is out of range, z cannot be split, or a hierarchical z goes
            with a table per layer.
    """

    has_noise = False
    repeatable = False
    synthesis: BigGANSynthesis

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        width: int | None = None,
        z_dim: int | None = None,
        hierarchical: bool | None = None,
        shared_dim: int | None = None,
        attention_resolution: int | None = None,
        initial_weights: InitialWeights | None = None,
        standing_passes: int = 16,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_biggan_resolution("BigGANGenerator", resolution)
        usual = sizes(resolution, num_classes)
        width = usual.width if width is None else width
        z_dim = usual.z_dim if z_dim is None else z_dim
        hierarchical = usual.hierarchical if hierarchical is None else hierarchical
        shared_dim = usual.shared_dim if shared_dim is None else shared_dim
        check_at_least_one(width=width, z_dim=z_dim)
        for name, number in (("shared_dim", shared_dim), ("standing_passes", standing_passes)):
            if number < 0:
                raise ValueError(f"{name} {number} is out of range: expected 0 or more")
        if num_classes and hierarchical and not shared_dim:
            raise ValueError(
                "a hierarchical z joins the class embedding that all layers share: give shared_dim, such as 128, or "
                "set hierarchical to false"
            )
        attention = chosen_attention(attention_resolution, usual)
        channels = [width * factor for factor in GENERATOR[resolution]]
        check_attention_resolution("BigGANGenerator", attention, [8 << k for k in range(len(channels) - 1)])
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.z_dim, self.standing_passes = z_dim, standing_passes
        self.attention_resolution = attention or None
        layers = Layers(initial_weights or usual.initial_weights, usual.eps)
        # not normalised: BigGAN, Appendix B
        self.embedding = layers.started(nn.Embedding(num_classes, shared_dim)) if num_classes and shared_dim else None
        class_dim = (shared_dim or num_classes) if num_classes else 0
        slots = Slots(z_dim, class_dim, len(channels) - 1, hierarchical)
        norm = _norm(slots, layers, shared=self.embedding is not None)
        self.synthesis = BigGANSynthesis(channels, num_channels, slots, layers, norm, attention)

    def styles(self, latents: Latents, labels: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """Latents and class indices [N] -> z and the class's embedding, or its one-hot vector, [N, z_dim + class_dim].

        Raises:
            ValueError: Truncation was asked for, or the labels do not fit.
        """
        z = super().styles(latents, labels, truncation_psi)
        if labels is None:
            return z
        of_class = one_hot(labels, self.num_classes) if self.embedding is None else self.embedding(labels)
        return torch.cat([z, of_class.to(z.dtype)], dim=1)

    def attention_maps(self, ws: Tensor, positions: Sequence[Position]) -> Tensor:
        """Styles [N, ...] and P pixels (row, column) -> softmax over keys [N, P, A / 2, A / 2] at resolution A.

        Raises:
            ValueError: The generator has no attention, or a position lies outside.
        """
        if self.attention_resolution is None:
            raise ValueError("this generator has no attention: build one with, for instance, attention_resolution=16")
        name = self.synthesis.attending
        attention = self.synthesis.get_submodule(name).attention
        maps: Tensor = attention.attention_map(self.synthesis.features(ws, until=name), positions)  # type: ignore
        return maps

    def estimate_statistics(self) -> None:
        """Standing statistics (BigGAN, section 3): those of batches of fresh latents and classes, in place."""
        estimate_batch_statistics(self, self.standing_passes)


def _norm(slots: Slots, layers: Layers, shared: bool) -> Norm:
    """Normalisation whose gain and bias depend on what a block sees, if anything."""
    if slots.whole:
        return lambda channels: ConditionalBatchNorm(channels, slots.z_dim, partial(_self_modulation, layers))
    if shared:
        of_embedding = partial(layers.linear, bias=False)
        return lambda channels: ConditionalBatchNorm(channels, slots.condition_dim, of_embedding)
    if slots.class_dim:
        return lambda channels: ConditionalBatchNorm(
            channels, slots.class_dim, lambda *ends: layers.started(ClassTable(*ends))
        )
    return PlainBatchNorm


# Chen et al., "On Self Modulation for Generative Adversarial Networks", ICLR 2019, Eq. 4
def _self_modulation(layers: Layers, z_dim: int, channels: int) -> nn.Module:
    """A function of z of one hidden layer."""
    hidden, out = nn.Linear(z_dim, z_dim), nn.Linear(z_dim, channels, bias=False)
    return nn.Sequential(layers.started(hidden), nn.ReLU(), layers.started(out))
