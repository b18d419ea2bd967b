"""What every auxiliary task answers; the training step never asks which one it has."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from dualgan.networks import Discriminator, Generator, Latents
from dualgan.networks.base import Heads


@dataclass(frozen=True)
class StepView:
    """What a task sees of a step: one micro-batch of one rank.

    Attributes:
        generator: G; its parameters require a gradient in G's step.
        discriminator: D; its parameters require a gradient in D's step.
        real: Real images [N, C, R, R] in [-1, 1].
        fake: Generated images [N, C, R, R]; with gradient into G in G's step.
        labels: Class indices [N] of the real images; None without classes.
        fake_labels: Those of the generated images.
        reference: Reference images for D, where it takes them.
        latents: What the generated images were made from.
        part: Number of this micro-batch in the step.
        images_seen: The clock before the step.
        generate: Latents, purpose -> images [N, C, R, R] of G and of `fake_labels`, without gradient.
        augment: Images, purpose -> what D sees of them.
        noise: A tensor, purpose -> standard normal numbers of its shape.
        trunk: Images, their class indices, purpose -> augmented, then D's features [N, trunk_width, h, w].
        logits: Augmented images, their class indices, purpose -> logits of D's heads.

    What is drawn in a call follows from the step, the task, the player and the purpose, a name of the task's choice.
    """

    generator: Generator
    discriminator: Discriminator
    real: Tensor
    fake: Tensor
    labels: Tensor | None
    fake_labels: Tensor | None
    reference: Tensor | None
    latents: Latents
    part: int
    images_seen: int
    generate: Callable[[Latents, str], Tensor]
    augment: Callable[[Tensor, str], Tensor]
    noise: Callable[[Tensor, str], Tensor]
    trunk: Callable[[Tensor, Tensor | None, str], Tensor]
    logits: Callable[[Tensor, Tensor | None, str], Heads]

    def of(self, task: str) -> "StepView":
        """The same with streams of one task's own."""
        return replace(
            self,
            generate=lambda latents, purpose: self.generate(latents, f"{task}, {purpose}"),
            augment=lambda images, purpose: self.augment(images, f"{task}, {purpose}"),
            noise=lambda like, purpose: self.noise(like, f"{task}, {purpose}"),
            trunk=lambda images, labels, purpose: self.trunk(images, labels, f"{task}, {purpose}"),
            logits=lambda images, labels, purpose: self.logits(images, labels, f"{task}, {purpose}"),
        )


class AuxiliaryTask(nn.Module):
    """A loss beside the adversarial one. Built for a discriminator: a subclass takes it as its first argument.

    Its parameters that require a gradient are trained by D's optimizer in D's step; its buffers and parameters are
    in the checkpoint, and so a task keeps copies of D's parts and never D itself. Nothing may make the host wait for
    the device, and what its buffers hold must be the same on all ranks.

    Attributes:
        name: What its values are called in the logs; that of the class unless something else is set.
        needs_trunk: It works on the features of D's trunk.
        sized_by_data: It cannot do without `prepare`.
    """

    needs_trunk: bool = True
    sized_by_data: bool = True

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.name = type(self).__name__
        if self.needs_trunk and discriminator.trunk_width is None:
            raise ValueError(
                f"{type(self).__name__} works on the features of D's trunk, and {type(discriminator).__name__} offers "
                f"none (trunk_width): choose another discriminator, or leave the task out"
            )

    def prepare(self, dataset_size: int, batch_size: int, total_images: int) -> None:
        """Learn how many images there are, mirrored ones counted, in one batch of all devices, and in the training.

        Called once, before any step, where the training has a data module.
        """

    def discriminator_loss(self, view: StepView) -> Tensor | None:
        """Loss of D's step on one micro-batch, a scalar mean over its images; None where there is none."""
        return None

    def generator_loss(self, view: StepView) -> Tensor | None:
        """Loss of G's step on one micro-batch, a scalar mean over its images; None where there is none."""
        return None

    def commit(self, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Move what moves once a step, such as averages and queues, after D's step.

        Args:
            finite: Whether the losses and gradients of the step were finite on all ranks, a bool scalar; otherwise
                nothing of the step may be kept.
            images_seen: The clock before the step.

        Returns:
            Scalars to log, by name.
        """
        return {}


class Tasks(nn.ModuleList):
    """All auxiliary tasks of a training, none in most.

    Args:
        tasks: Each one.

    Raises:
        ValueError: Two have the same name.
    """

    def __init__(self, tasks: Iterable[AuxiliaryTask]) -> None:
        super().__init__(tasks)
        names = [task.name for task in self.each()]
        if len(set(names)) < len(names):
            raise ValueError(
                f"auxiliary has two tasks of one name ({', '.join(names)}), whose logged numbers could not be told "
                f"apart: leave one out, or give one another class or, for InstanceDiscrimination, another preset"
            )

    def each(self) -> list[AuxiliaryTask]:
        """The tasks."""
        return [task for task in self if isinstance(task, AuxiliaryTask)]

    @property
    def sized_by_data(self) -> bool:
        """Whether any of them must know how many images are trained on."""
        return any(task.sized_by_data for task in self.each())

    def discriminator_losses(self, view: StepView) -> dict[str, Tensor]:
        """Losses of D's step, by the names that they are logged under."""
        found = {f"loss/{task.name}": task.discriminator_loss(view.of(task.name)) for task in self.each()}
        return {name: value for name, value in found.items() if value is not None}

    def generator_losses(self, view: StepView) -> dict[str, Tensor]:
        """Losses of G's step, by the names that they are logged under."""
        found = {f"loss/{task.name}/generator": task.generator_loss(view.of(f"{task.name}, G")) for task in self.each()}
        return {name: value for name, value in found.items() if value is not None}

    def prepare(self, dataset_size: int, batch_size: int, total_images: int) -> None:
        """Tell all of them how many images there are, in one batch of all devices, and in the training."""
        for task in self.each():
            task.prepare(dataset_size, batch_size, total_images)

    def commit(self, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Let all of them move what moves once a step; returns what they want to be logged."""
        return {name: value for task in self.each() for name, value in task.commit(finite, images_seen).items()}
