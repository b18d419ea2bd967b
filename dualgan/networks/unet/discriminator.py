"""U-Net GAN's discriminator: one logit for the image and one for every pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks import spectral
from dualgan.networks.base import (
    Heads,
    check_at_least_one,
    check_images,
    check_labels,
    check_reference,
)
from dualgan.networks.biggan.blocks import DownBlock, InitialWeights, Layers, UpBlock
from dualgan.networks.class_conditional import ProjectionHead
from dualgan.networks.joint import JointDiscriminator
from dualgan.networks.layers import widened

# Channels after each block of the encoder, from half the resolution down to 4x4, in multiples of the width.
ENCODER: dict[int, tuple[int, ...]] = {
    32: (4, 8, 16),
    64: (2, 4, 8, 16),
    128: (1, 2, 4, 8, 16),
    256: (1, 2, 4, 8, 8, 16),
}
EPS = 1e-6  # of spectral normalisation


class UNetDiscriminator(JointDiscriminator):
    """BigGAN's encoder with a logit of the image, and a decoder with a logit of every pixel.

    The decoder's blocks have no normalisation, and each but the first also sees the encoder's features of its size. All
    layers but the last are spectrally normalised. 128 and 256 are published, 32 and 64 leave out blocks of 128 next to
    the image.

    Source: Schonfeld et al., "A U-Net Based Discriminator for Generative Adversarial Networks", CVPR 2020, with the
    sizes of its public code.

    Args:
        resolution: Width and height of the images: 32, 64, 128 or 256.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional. Both logits are projections on embeddings of their own.
        width: Channels that those of all layers are multiples of.
        attention_resolution: The encoder's block that gives it is followed by attention; null for none.
        initial_weights: How weights start: orthogonal, or normal with standard deviation 0.02.

    Raises:
        ValueError: The resolution is none of these, or a size is out of range.
    """

    repeatable = False
    has_pixel_logits = True

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        width: int = 64,
        attention_resolution: int | None = None,
        initial_weights: InitialWeights = "orthogonal",
    ) -> None:
        super().__init__()
        self.remember(locals())
        given = _encoder_resolutions(resolution)
        check_at_least_one(width=width)
        if attention_resolution not in (None, *given):
            raise ValueError(
                f"UNetDiscriminator with attention_resolution {attention_resolution}: its encoder's blocks give "
                f"{', '.join(map(str, sorted(given)))}; choose one of these, or leave it out"
            )
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        self.attention_resolution = attention_resolution
        layers = Layers(initial_weights, EPS)
        channels = [width * factor for factor in ENCODER[resolution]]
        self.blocks, self.decoder = [f"down{r}" for r in given], [f"up{2 * r}" for r in reversed(given)]
        for name, r, before, after in zip(self.blocks, given, [num_channels, *channels], channels, strict=False):
            attends = r == attention_resolution
            self.add_module(name, DownBlock(before, after, layers, first=r == given[0], attention=attends))
        self.trunk_width = channels[-1]
        self.head = ProjectionHead(channels[-1], num_classes, normalised=layers.normalised)
        made = [*reversed(channels[:-1]), channels[0]]  # by the decoder's blocks
        skips = [0, *reversed(channels[:-1])]
        for name, before, skip, after in zip(self.decoder, [channels[-1], *made], skips, made, strict=False):
            self.add_module(name, UpBlock(before + skip, after, layers))
        self.pixel_head = _PixelHead(channels[0], num_classes, layers)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Images [N, C, R, R] -> what each block of the encoder gives, [N, c, h, w]."""
        found: list[Tensor] = []
        for name in self.blocks:
            images = self.get_submodule(name)(images)
            found.append(images)
        return found

    def decode(self, encoded: list[Tensor]) -> Tensor:
        """What the encoder's blocks gave -> features of every pixel [N, c, R, R]."""
        x, *skips = reversed(encoded)
        for name, skip in zip(self.decoder, [None, *skips], strict=True):
            x = self.get_submodule(name)(x if skip is None else torch.cat([x, skip], dim=1))
        return x

    def trunk(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> what the encoder gives, [N, trunk_width, 4, 4].

        Raises:
            ValueError: The images are of another shape, or reference images were given.
        """
        check_images(images, self.num_channels, self.resolution)
        check_reference(reference, self.takes_reference, images, kinds)
        return self.encode(images)[-1]

    def features(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> what the image's logit is a linear function of, [N, trunk_width]."""
        return _summed(self.trunk(images, labels, reference))

    def forward(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Heads:
        """Images [N, C, R, R] in [-1, 1], class indices [N] -> logits [N] and logits of the pixels [N, R, R], float32.

        Raises:
            ValueError: Labels do not match `num_classes`, the images are of another shape, or reference images were
                given.
        """
        check_labels(labels, self.num_classes, len(images))
        check_images(images, self.num_channels, self.resolution)
        check_reference(reference, self.takes_reference, images)
        encoded = self.encode(images)
        return widened(self.head(_summed(encoded[-1]), labels)), widened(self.pixel_head(self.decode(encoded), labels))


class _PixelHead(nn.Module):
    """Features of pixels -> their logits: a 1x1 convolution that is not normalised, and the class's projection."""

    def __init__(self, channels: int, num_classes: int, layers: Layers) -> None:
        super().__init__()
        self.conv: nn.Module = layers.started(nn.Conv2d(channels, 1, 1))
        self.embedding = layers.normalised(spectral.Embedding(num_classes, channels)) if num_classes else None

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """[N, channels, H, W], class indices [N] -> [N, H, W]."""
        logits: Tensor = self.conv(x).squeeze(1)
        if self.embedding is None:
            return logits
        return logits + torch.einsum("nc,nchw->nhw", self.embedding(labels).to(x.dtype), x)


def _summed(x: Tensor) -> Tensor:
    """Global sum pooling: [N, C, h, w] -> [N, C]."""
    return F.relu(x).sum(dim=(2, 3))


def _encoder_resolutions(resolution: int) -> list[int]:
    if resolution not in ENCODER:
        raise ValueError(
            f"UNetDiscriminator of resolution {resolution}: it is defined for {', '.join(map(str, ENCODER))}. Set "
            f"'resolution' of the data to one of these; images are resized to it"
        )
    return [resolution >> k for k in range(1, len(ENCODER[resolution]) + 1)]
