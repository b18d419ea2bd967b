"""What discriminators share that score real and generated images in one pass, and those that are a row of blocks."""

import torch
from torch import Tensor

from dualgan.networks.base import Discriminator, Heads, check_images, check_reference


def joined(
    real: Tensor, fake: Tensor, labels: Tensor | None, fake_labels: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Real images followed by generated ones, and their classes; arguments as for `Discriminator.pair`."""
    both = None if labels is None else torch.cat([labels, labels if fake_labels is None else fake_labels])
    return torch.cat([real, fake]), both


class JointDiscriminator(Discriminator, abstract=True):
    """Scores real and generated images in one pass over both: fewer and larger operations.

    The values are those of two calls, but for one step of the power iteration instead of two where there is one.
    """

    def pair(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None = None,
        reference: Tensor | None = None,
        fake_labels: Tensor | None = None,
    ) -> tuple[Tensor | Heads, Tensor | Heads]:
        """Logits of real and of generated images; see `Discriminator.pair`.

        Raises:
            ValueError: As for a call.
        """
        images, both = joined(real, fake, labels, fake_labels)
        found: Tensor | Heads = self(images, both, reference)
        count = len(real)
        if isinstance(found, Tensor):
            return found[:count], found[count:]
        return tuple(head[:count] for head in found), tuple(head[count:] for head in found)


class BlockDiscriminator(JointDiscriminator, abstract=True):
    """Its trunk is `blocks`, one after the other."""

    def trunk(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> features [N, trunk_width, h, w] of the last block.

        `labels` and `kinds` are accepted for a common interface.

        Raises:
            ValueError: The images are of another shape, or reference images were given.
        """
        check_images(images, self.num_channels, self.resolution)
        check_reference(reference, self.takes_reference, images, kinds)
        for name in self.blocks:
            images = self.get_submodule(name)(images)
        return images
