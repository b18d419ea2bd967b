"""SNGAN's residual discriminator, every weight spectrally normalised."""

from torch import Tensor, nn

from dualgan.networks.base import check_at_least_one, check_labels
from dualgan.networks.class_conditional import ProjectionHead
from dualgan.networks.joint import BlockDiscriminator
from dualgan.networks.layers import widened
from dualgan.networks.sngan.plan import RESIDUAL_GAIN, convolution, plan_of
from dualgan.networks.sngan.resampling import convolved_and_halved
from dualgan.networks.spectral import normalised


class DiscriminatorBlock(nn.Module):
    """Two convolutions beside a shortcut.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        halving: Halve the resolution.
        takes_image: The input is an image, which no ReLU precedes and whose convolutions are of `out_channels`.
    """

    def __init__(self, in_channels: int, out_channels: int, halving: bool, takes_image: bool = False) -> None:
        super().__init__()
        hidden = out_channels if takes_image else in_channels
        self.halving, self.takes_image = halving, takes_image
        self.conv1 = normalised(convolution(in_channels, hidden, 3, RESIDUAL_GAIN))
        self.conv2 = normalised(convolution(hidden, out_channels, 3, RESIDUAL_GAIN))
        learned = halving or in_channels != out_channels
        self.shortcut = normalised(convolution(in_channels, out_channels, 1)) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H / 2, W / 2], or of the input's resolution."""
        y = self.conv1(x if self.takes_image else x.relu()).relu_()
        y = convolved_and_halved(y, self.conv2) if self.halving else self.conv2(y)
        # A 1x1 convolution commutes with means over 2x2, and is cheaper after them.
        out: Tensor = y + self.shortcut(nn.functional.avg_pool2d(x, 2) if self.halving else x)
        return out


class SNGANDiscriminator(BlockDiscriminator):
    """SNGAN discriminator; with classes, logits have the projection on the class's embedding beside them.

    Args:
        resolution: Width and height of the images: 32, 48, 64, 128 or 256.
        num_channels: 3 for colour, 1 for gray.
        num_classes: Number of classes; 0 is unconditional.
        width: Channels of the narrowest layer, which the others are multiples of; null is the published number, 128 at
            32x32 and 64 elsewhere.

    Raises:
        ValueError: There is no such network for the resolution, or the width is below 1.
    """

    repeatable = False

    def __init__(self, resolution: int, num_channels: int = 3, num_classes: int = 0, width: int | None = None) -> None:
        super().__init__()
        self.remember(locals())
        plan = plan_of(resolution, type(self).__name__)
        width = plan.width[1] if width is None else width
        check_at_least_one(width=width)
        self.resolution, self.num_channels, self.num_classes = resolution, num_channels, num_classes
        channels = [num_channels, *(width * multiple for multiple in plan.discriminator)]
        self.blocks = [f"block{k}" for k in range(len(plan.discriminator))]
        for k, name in enumerate(self.blocks):
            self.add_module(name, DiscriminatorBlock(channels[k], channels[k + 1], k < plan.halving, k == 0))
        self.trunk_width = channels[-1]
        self.head = ProjectionHead(self.trunk_width, num_classes)

    def trunk(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        """See `BlockDiscriminator.trunk`; the features are 0 or more."""
        return super().trunk(images, labels, reference, kinds).relu_()

    def features(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> sums of the trunk's features over all places [N, trunk_width].

        Raises:
            ValueError: As for `trunk`.
        """
        return widened(self.trunk(images, labels, reference)).sum(dim=(2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1], class indices [N] -> logits [N] in full precision.

        Raises:
            ValueError: As for `trunk`, or labels do not match `num_classes`.
        """
        check_labels(labels, self.num_classes, len(images))
        logits: Tensor = self.head(self.features(images, labels, reference), labels)
        return logits
