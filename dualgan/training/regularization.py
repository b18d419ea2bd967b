"""Penalties on either player: how strong, and when."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from dualgan.data.batches import Batch
from dualgan.losses import DiscriminatorPenalty, PathLength
from dualgan.networks.base import Drawn
from dualgan.runtime.distributed import gather_with_own_gradient, mean_over_ranks, scale_gradient, world_size
from dualgan.training.microbatch import backward_in_parts, number_of_parts
from dualgan.training.players import Fakes
from dualgan.training.schedule import Scheduled, is_due, value_at
from dualgan.training.two_players import TwoPlayers


class Regularization:
    """Penalties on one player, in steps of their own every `interval` steps of it, or as a part of its main step.

    Args:
        active: Whether there is any penalty.
        interval: Steps of the player between steps of their own, scaled up by it; None is the main step, unscaled.

    Attributes:
        idle: The main step was chosen for penalties that are off.
    """

    def __init__(self, active: bool, interval: int | None) -> None:
        self.lazy_interval = interval if active else None
        self.in_main_step = active and interval is None
        self.idle = interval is None and not active

    @property
    def scale(self) -> int:
        """What the penalties are multiplied by."""
        return self.lazy_interval or 1

    def due(self, step: int) -> bool:
        """Whether a step of their own follows this step of the player."""
        return self.lazy_interval is not None and is_due(step, self.lazy_interval)


class Penalties(Regularization):
    """D's penalties.

    Args:
        terms: Each penalty with its strength; those of strength 0 are left out.
        interval: Minibatches between steps of their own; None is the main step.
    """

    def __init__(self, terms: Sequence[tuple[DiscriminatorPenalty, Scheduled]], interval: int | None) -> None:
        self.terms = [(penalty, strength) for penalty, strength in terms if strength]
        super().__init__(bool(self.terms), interval)

    def backward(self, gan: TwoPlayers, batch: Batch, fakes: Sequence[Fakes] | None = None) -> Tensor:
        """Backpropagate the penalties on a batch, in float32; logs each.

        Args:
            gan: Whose discriminator.
            batch: Real images.
            fakes: Generated images of every micro-batch. Others are drawn where there are none, and for penalties that
                look at both kinds where their classes are not those of the real ones.

        Returns:
            Their sum, without gradient.
        """
        parts = gan.split(batch)
        totals = torch.zeros(len(self.terms), device=gan.device)
        with gan.float32():
            for k, part in enumerate(parts):
                values = self.values(gan, part, None if fakes is None else fakes[k], k)
                gan.manual_backward(values.sum() * (self.scale / len(parts)))
                totals = totals + values.detach() / len(parts)
        gan.latest |= {f"loss/{p.name}": total for (p, _), total in zip(self.terms, totals, strict=True)}
        return totals.sum()

    def values(self, gan: TwoPlayers, part: Batch, fakes: Fakes | None, k: int) -> Tensor:
        """Every penalty on micro-batch k, [P]."""
        real, labels, reference = part
        alike = fakes if gan.fake_labels.like_the_batch else None  # generated images of the classes of the real ones
        values = []
        for penalty, strength in self.terms:
            shown = alike if penalty.needs_real or fakes is None else fakes
            if penalty.needs_fake and shown is None:
                shown = alike = gan.draw_fakes(len(real), labels, "penalty", k, same_classes=True)
            classes = labels if penalty.needs_real or shown is None else shown.drawn.labels
            penalty.weight = value_at(strength, gan.clock)
            score = gan.critic.scorer(classes, reference, f"{penalty.name}, images", k)
            gan.reseed(penalty.name, k)
            values.append(penalty(score, real, None if shown is None else shown.images))
        return torch.stack(values)


class PathRegularization(Regularization):
    """G's path length penalty.

    Args:
        strength: Its strength; 0 turns it off.
        interval: Steps of G between steps of its own; None is the main step.
    """

    def __init__(self, strength: Scheduled, interval: int | None) -> None:
        super().__init__(bool(strength), interval)
        self.strength, self.penalty = strength, PathLength()

    def backward(self, gan: TwoPlayers, batch: Batch) -> Tensor:
        """Backpropagate the penalty, in float32 and on a smaller batch; moves the mean length, and logs both.

        The mean couples all lengths, those of other ranks too.

        Returns:
            The mean length of this batch over all ranks, without gradient.
        """
        self.penalty.weight = value_at(self.strength, gan.clock)
        count = max(len(batch.images) // self.penalty.batch_shrink, 1)
        labels = None if batch.labels is None else batch.labels[:count]
        parts = number_of_parts(count, gan.micro_batch)
        drawn: dict[int, Drawn] = {}

        def lengths(k: int) -> tuple[Tensor]:
            own_labels = None if labels is None else labels[k::parts]
            with torch.enable_grad():  # a length is a gradient itself
                drawn[k] = gan.draw_styles(count // parts, own_labels, "path_length", k)
                styles = drawn[k].styles
                found = self.penalty.path_lengths(gan.generator.synthesis(styles), styles)
            return (found if torch.is_grad_enabled() else found.detach(),)

        def penalty(lengths: Tensor) -> Tensor:
            everyone = gather_with_own_gradient(lengths[None]).flatten()
            value = self.penalty.penalty(everyone, self.penalty.moved_mean(everyone, gan.path_length_mean))
            return self.scale * scale_gradient(value, world_size())

        with gan.float32():
            calls = [partial(lengths, k) for k in range(parts)]
            value, (found,) = backward_in_parts(penalty, calls, gan.manual_backward)
        gan.generator.observe(list(drawn.values()))
        mean = mean_over_ranks(found.mean())
        moved = gan.path_length_mean.lerp(mean, self.penalty.decay)
        gan.path_length_mean.copy_(torch.where(mean.isfinite(), moved, gan.path_length_mean))
        gan.latest["loss/path_length"] = value / self.scale
        gan.latest["path_length/mean"] = gan.path_length_mean.clone()
        return mean
