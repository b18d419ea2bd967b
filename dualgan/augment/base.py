"""What every augmentation answers; the training step never asks which one it has."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Augmentation(nn.Module, ABC):
    """Changes all images that D sees in training: real, generated and reference images, in every step and penalty.

    It draws from torch's global generators, which are reseeded before each call, so that a pass that is repeated for
    a micro-batch or a penalty sees the same. Must be differentiable, twice where penalties are used. What must
    survive a stop, such as a strength that adapts, is kept in buffers; nothing may make the host wait for the device.
    """

    def prepare(self, total_images: int, shift_invariant: bool) -> str | None:
        """Learn what only the training knows; called once, before any step.

        Args:
            total_images: Length of the training in real images.
            shift_invariant: The loss does not change when the same is added to all logits.

        Returns:
            A sentence for the user, or None.
        """
        return None

    def over(self, total_images: int, images_seen: int) -> dict[str, float]:
        """Numbers that follow from the length of the training, at some time: who goes on with another hears of them.

        Args:
            total_images: Length of the training in real images.
            images_seen: The clock.

        Returns:
            Values by what they are called.
        """
        return {}

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> what D sees of them, of the same shape."""

    def real(self, real: Tensor, fake: Tensor) -> Tensor:
        """What stands for the real images [N, C, R, R] in D's main step, before `forward`; may take generated ones."""
        return real

    def observe(self, real_logits: Tensor, fake_logits: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """See the logits [N, ...] of D's main step on this rank, after it, such as to adapt a strength.

        Average what goes into a buffer over the ranks, which must hold the same, and keep nothing where the step was
        not finite on all ranks (`finite`, a bool scalar): the logits may be NaN then.

        Returns:
            Scalars to log, by name.
        """
        return {}


class NoAugmentation(Augmentation):
    """D sees the images as they are."""

    def forward(self, images: Tensor) -> Tensor:
        """The images."""
        return images
