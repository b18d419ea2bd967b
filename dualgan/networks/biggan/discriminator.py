"""BigGAN's discriminator."""

import torch.nn.functional as F
from torch import Tensor

from dualgan.networks.base import (
    check_at_least_one,
    check_labels,
)
from dualgan.networks.biggan.blocks import DownBlock, InitialWeights, Layers
from dualgan.networks.biggan.plan import (
    DISCRIMINATOR,
    DOWN,
    check_attention_resolution,
    check_biggan_resolution,
    chosen_attention,
    sizes,
)
from dualgan.networks.class_conditional import ProjectionHead
from dualgan.networks.joint import BlockDiscriminator
from dualgan.networks.layers import widened


class BigGANDiscriminator(BlockDiscriminator):
    """BigGAN discriminator with spectral normalisation and projection; what is not given is as published.

    Sources and resolutions: those of `BigGANGenerator`.

    Args:
        resolution: Width and height of the images: 32, 64, 128, 256 or 512.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        width: Channels that those of all layers are multiples of.
        attention_resolution: The block that gives it is followed by attention; 0 for none.
        initial_weights: How weights start: orthogonal, or normal with standard deviation 0.02.

    Raises:
        ValueError: The resolution is none of these, or a size is out of range.
    """

    repeatable = False

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        width: int | None = None,
        attention_resolution: int | None = None,
        initial_weights: InitialWeights | None = None,
    ) -> None:
        super().__init__()
        self.remember(locals())
        check_biggan_resolution("BigGANDiscriminator", resolution)
        usual = sizes(resolution, num_classes)
        width = usual.width if width is None else width
        check_at_least_one(width=width)
        attention = chosen_attention(attention_resolution, usual)
        given = [resolution >> min(k + 1, DOWN[resolution]) for k in range(len(DISCRIMINATOR[resolution]))]
        check_attention_resolution("BigGANDiscriminator", attention, sorted(set(given)))
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.attention_resolution = attention or None
        layers = Layers(initial_weights or usual.initial_weights, usual.eps)
        channels = [num_channels, *(width * factor for factor in DISCRIMINATOR[resolution])]
        self.blocks = [f"block{k}" for k in range(len(given))]
        for k, name in enumerate(self.blocks):
            down = k < DOWN[resolution]
            attends = given.index(attention) == k if attention else False
            ends = channels[k], channels[k + 1]
            self.add_module(name, DownBlock(*ends, layers, down, first=k == 0, attention=attends))
        self.trunk_width = channels[-1]
        self.head = ProjectionHead(channels[-1], num_classes, normalised=layers.normalised)

    def features(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> what the logit is a linear function of, [N, trunk_width]."""
        return F.relu(self.trunk(images, labels, reference)).sum(dim=(2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1], class indices [N] -> logits [N], float32.

        Raises:
            ValueError: Labels do not match `num_classes`, the images are of another shape, or reference images were
                given.
        """
        check_labels(labels, self.num_classes, len(images))
        logits: Tensor = self.head(self.features(images, labels, reference), labels)
        return widened(logits)
