"""The only caller of the discriminator in training."""

from collections.abc import Callable

from torch import Tensor

from dualgan.augment import Augmentation
from dualgan.losses import AdversarialLoss
from dualgan.networks import Discriminator
from dualgan.networks.base import Heads, as_heads
from dualgan.terminal.console import say
from dualgan.training.compilation import Passes

Reseed = Callable[[str, int], None]


class Critic:
    """Shows images to D through the augmentation.

    Every call takes a stream, a purpose and the number of a micro-batch, from which it reseeds: a pass that is
    repeated, and every pass of one penalty, meets the same augmentation. Reference images are augmented too, with
    draws of their own, the same for all primary images of a call.

    Args:
        discriminator: D.
        augmentation: What D sees in place of the images.
        passes: Forward passes of the adversarial steps, maybe compiled.
        reseed: Seeds all generators from the step and a stream.
    """

    def __init__(
        self, discriminator: Discriminator, augmentation: Augmentation, passes: Passes, reseed: Reseed
    ) -> None:
        self.discriminator, self.augmentation = discriminator, augmentation
        self.passes, self.reseed = passes, reseed

    def prepare(self, total_images: int, loss: AdversarialLoss) -> None:
        """Tell the augmentation of the training, and the user what it makes of it."""
        if said := self.augmentation.prepare(total_images, loss.shift_invariant):
            say(said)

    def score(
        self, images: Tensor, labels: Tensor | None, reference: Tensor | None, purpose: str, part: int, kind: str
    ) -> Heads:
        """Logits of images [N, C, R, R] of a kind, such as "real"; all kinds meet the same reference images."""
        reference = self._seen_reference(reference, purpose, part)
        seen = self.augment(images, f"{purpose}, {kind}", part)
        return as_heads(self.passes.score(self.discriminator, seen, labels, reference))

    def pair(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        fake_labels: Tensor | None,
        reference: Tensor | None,
        purpose: str,
        part: int,
    ) -> tuple[Heads, Heads]:
        """Logits of real and generated images [N, C, R, R] of classes [N] each, in D's main step."""
        reference = self._seen_reference(reference, purpose, part)
        self.reseed(purpose, part)
        real, fake = self.augmentation(self.augmentation.real(real, fake)), self.augmentation(fake)
        first, second = self.passes.score_pair(self.discriminator, real, fake, labels, fake_labels, reference)
        return as_heads(first), as_heads(second)

    def scorer(
        self, labels: Tensor | None, reference: Tensor | None, purpose: str, part: int = 0
    ) -> Callable[[Tensor], Tensor]:
        """For penalties: images [N, C, R, R] before their augmentation -> sum of all logits of each, [N]."""
        reference = self._seen_reference(reference, purpose, part)

        def score(images: Tensor) -> Tensor:
            heads = as_heads(self.discriminator(self.augment(images, purpose, part), labels, reference))
            sums = [head if head.dim() == 1 else head.flatten(1).sum(dim=1) for head in heads]
            return sum(sums[1:], start=sums[0])

        return score

    def trunk(
        self, images: Tensor, labels: Tensor | None, reference: Tensor | None, purpose: str, part: int = 0
    ) -> Tensor:
        """Features [N, trunk_width, h, w] of images [N, C, R, R]."""
        reference = self._seen_reference(reference, purpose, part)
        return self.discriminator.trunk(self.augment(images, purpose, part), labels, reference)

    def logits(
        self, seen: Tensor, labels: Tensor | None, reference: Tensor | None, purpose: str, part: int = 0
    ) -> Heads:
        """Logits of images [N, C, R, R] that have been augmented already."""
        return as_heads(self.discriminator(seen, labels, self._seen_reference(reference, purpose, part)))

    def augment(self, images: Tensor, purpose: str, part: int = 0) -> Tensor:
        """What D sees of images [N, C, R, R]."""
        self.reseed(purpose, part)
        seen: Tensor = self.augmentation(images)
        return seen

    def _seen_reference(self, reference: Tensor | None, purpose: str, part: int) -> Tensor | None:
        return None if reference is None else self.augment(reference, f"{purpose} references", part)
