"""Adam of each player: its settings over time, and a step that all ranks take alike or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from dualgan.runtime.distributed import average_over_ranks_, mean_over_ranks
from dualgan.training.checks import check_settings
from dualgan.training.schedule import Schedule, Scheduled, lazy_adam, value_at


@dataclass(frozen=True)
class AdamOptions:
    """Adam of one player; what is null is as for both players.

    Args:
        learning_rate: Learning rate, a number or a schedule.
        betas: Decay rates; the second one may be a schedule.
        eps: Epsilon.
    """

    learning_rate: Scheduled | None = None
    betas: tuple[float, Scheduled] | None = None
    eps: float | None = None

    def or_else(self, shared: "AdamOptions") -> "AdamOptions":
        """These options, and `shared` where they are null."""
        return AdamOptions(
            shared.learning_rate if self.learning_rate is None else self.learning_rate,
            shared.betas if self.betas is None else self.betas,
            shared.eps if self.eps is None else self.eps,
        )

    def at(self, images_seen: int, lazy_interval: int | None, factor: float) -> dict[str, Any]:
        """Settings of a parameter group at some time.

        Args:
            images_seen: The clock.
            lazy_interval: Steps between extra steps for lazy penalties, which the settings make up for; None without.
            factor: On the learning rate.
        """
        assert self.learning_rate is not None
        assert self.betas is not None
        betas = (self.betas[0], value_at(self.betas[1], images_seen))
        settings = lazy_adam(value_at(self.learning_rate, images_seen) * factor, betas, lazy_interval)
        return settings | {"eps": self.eps}

    def check(self, prefix: str = "") -> None:
        """Refuse numbers that no training can use, by names that begin with `prefix`.

        Raises:
            ValueError: The learning rate or epsilon is not above 0, or a decay rate not from 0 to below 1.
        """
        check_settings(positive={f"{prefix}learning_rate": self.learning_rate, f"{prefix}eps": self.eps})
        for number, beta in enumerate(self.betas or ()):
            if isinstance(beta, Schedule):
                beta.check(f"{prefix}betas", below=1)
            elif not 0 <= beta < 1:
                raise ValueError(f"{prefix}betas {beta:g} (number {number}) is out of range: expected 0 to below 1")


def of_players(
    shared: AdamOptions, generator: AdamOptions, discriminator: AdamOptions
) -> tuple[AdamOptions, AdamOptions]:
    """Adam of G and of D: what is said of each, and `shared` where nothing is.

    Raises:
        ValueError: A number is out of range.
    """
    for options, prefix in ((shared, ""), (generator, "generator_adam."), (discriminator, "discriminator_adam.")):
        options.check(prefix)
    return generator.or_else(shared), discriminator.or_else(shared)


def forget(adam: Adam) -> None:
    """Let Adam start anew: moments and number of steps are 0."""
    for of_parameter in adam.state.values():
        for value in of_parameter.values():
            value.zero_()


def step_together(adam: Adam, value: Tensor, step: Callable[[], Any]) -> tuple[Tensor, Tensor]:
    """Average the gradients of a player over the ranks, take Adam's step and clear them.

    A parameter that the loss does not reach, such as the last bias of D in a penalty, takes a step with a gradient of
    zero, as in StyleGAN2: its moments decay like all others.

    Adam leaves everything alone where the gradients or the loss `value` are not finite on some rank, without making
    the host wait for the device.

    Returns:
        The norm of the averaged gradients, and whether everything was finite.
    """
    parameters = [p for group in adam.param_groups for p in group["params"]]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters]
    average_over_ranks_(gradients)
    norm = torch.nn.utils.get_total_norm(gradients)
    finite = norm.isfinite() & mean_over_ranks(value).isfinite()
    adam.found_inf = (~finite).float()  # type: ignore[attr-defined]
    step()
    adam.zero_grad()
    return norm.detach(), finite
