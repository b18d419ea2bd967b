"""How a training computes its convolutions on a CPU: by PyTorch's operators, or by a plan that its checkpoints hold."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from dualgan.networks.cpu.plan import Plan, computed_by, plan_of, read_plan, this_machine
from dualgan.terminal.console import say

MEASURED, DIRECT = "measured", "direct"


class Convolutions:
    """The convolutions of training steps, and of nothing else: all other verbs and scores leave them to PyTorch.

    Args:
        setting: "direct", "measured", or the file of a plan.

    Attributes:
        plan: Which algorithm computes which; None is PyTorch's own always.
        adopted: How many convolutions the plan had when the training began.
    """

    def __init__(self, setting: str) -> None:
        self.setting, self.adopted = setting, 0
        self._refused: str | None = None
        self._restored = False
        self.plan = None if setting == DIRECT else Plan()

    @property
    def given(self) -> bool:
        """Whether the setting is the file of a plan."""
        return self.setting not in (MEASURED, DIRECT)

    def prepare(self) -> None:
        """Read the plan that was given by hand, unless a checkpoint has brought one.

        Raises:
            ValueError: There is no such file, or it is no plan.
        """
        if not self.given:
            return
        if self._restored:
            say(f"The convolutions are those of the checkpoint: {self.setting} is not read.")
            return
        expected = f"expected {MEASURED}, {DIRECT}, or the convolutions.yaml of a run"
        try:
            content = Path(self.setting).read_bytes()
        except OSError as error:
            raise ValueError(f"convolutions {self.setting!r}: {error.strerror or error}; {expected}") from error
        try:
            self.adopt(read_plan(content), self.setting)
        except ValueError as error:
            raise ValueError(f"convolutions {self.setting!r} holds no plan: {error}; {expected}") from error

    def adopt(self, stored: Plan, source: str) -> None:
        """Add what a stored plan has to the own one; not if it was made for another machine or number of threads."""
        if self.plan is None or not stored.chosen:
            return
        here = this_machine()
        if stored.machine != here:
            said = f"were timed with {stored.machine}, and are timed anew with {here}."
            if said != self._refused:  # the checkpoint and the run's folder hold the same
                say(f"The convolutions of {source} {said}")
            self._refused = said
            return
        self.plan.machine = here
        self.plan.chosen |= stored.chosen
        self.adopted = len(self.plan.chosen)

    def plain(self) -> dict[str, Any] | None:
        """The plan as plain data for a checkpoint; None where there is nothing to remember."""
        return self.plan.plain() if self.plan is not None and self.plan.chosen else None

    def take_back(self, stored: Any) -> None:
        """Adopt what `plain` has left in a checkpoint; older ones have nothing, and the setting counts."""
        if stored is not None:
            self._restored = True
            self.adopt(plan_of(stored), "the checkpoint")


class HasConvolutions(Protocol):
    """Who trains."""

    convolutions: Convolutions


Trained = TypeVar("Trained", bound=HasConvolutions)
P = ParamSpec("P")
T = TypeVar("T")


def planned(step: Callable[Concatenate[Trained, P], T]) -> Callable[Concatenate[Trained, P], T]:
    """A method of who trains, with the convolutions inside computed by the plan."""

    @wraps(step)
    def run(self: Trained, /, *args: P.args, **settings: P.kwargs) -> T:
        with computed_by(self.convolutions.plan):
            return step(self, *args, **settings)

    return run
