"""How the discriminators of the StyleGANs end: minibatch standard deviation at 4x4 and two dense layers."""

from torch import Tensor, nn

from dualgan.networks.base import Discriminator, check_labels
from dualgan.networks.joint import joined
from dualgan.networks.layers import EqualizedConv2d, EqualizedLinear, MinibatchStd


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

    def features(self, x: Tensor, kinds: int) -> Tensor:
        """[N, channels, 4, 4] -> last hidden layer [N, channels]."""
        hidden: Tensor = self.fc(self.conv(self.minibatch_std(x, kinds)).flatten(1))
        return hidden


class EpilogueDiscriminator(Discriminator, abstract=True):
    """A trunk down to 4x4, and the epilogue `b4`, from which subclasses make `logits`. Calls take `kinds`."""

    b4: DiscriminatorEpilogue

    def features(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        """Images [N, C, R, R] in [-1, 1], reference images [N / kinds, C, R, R] -> last hidden layer [N, d].

        `labels` are accepted for a common interface: they come in after this layer. The minibatch-std groups
        stay within each of the `kinds` equal parts of the batch, which share the reference images.

        Raises:
            ValueError: As for `trunk`.
        """
        return self.b4.features(self.trunk(images, labels, reference, kinds), kinds)

    def logits(self, trunk: Tensor, labels: Tensor | None = None, kinds: int = 1) -> Tensor:
        """Output of `trunk` [N, trunk_width, 4, 4], class indices [N] -> logits [N], float32.

        Raises:
            ValueError: The batch does not match its minibatch-std groups.
        """
        raise NotImplementedError

    def forward(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        """Images [N, C, R, R] in [-1, 1], class indices [N], references [N / kinds, C, R, R] -> logits [N], float32.

        Raises:
            ValueError: Labels do not match `num_classes`, the batch its minibatch-std groups, the images are of another
                shape, or reference images are missing, superfluous or of another shape.
        """
        check_labels(labels, self.num_classes, len(images))
        return self.logits(self.trunk(images, labels, reference, kinds), labels, kinds)

    def pair(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None = None,
        reference: Tensor | None = None,
        fake_labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits [N] of real and [N] of generated images, from one pass over both.

        The same values as two calls give, in fewer and larger operations.

        Raises:
            ValueError: As for a call.
        """
        images, both = joined(real, fake, labels, fake_labels)
        real_logits, fake_logits = self(images, both, reference, kinds=2).chunk(2)
        return real_logits, fake_logits
