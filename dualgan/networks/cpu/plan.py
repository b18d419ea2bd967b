"""The plan of a run's convolutions on a CPU: each one's fastest algorithm, timed once and kept.

Algorithms round differently, so a run must not change them half-way. A plan is therefore a part of what a checkpoint
holds. Without one, that is everywhere but in training steps, PyTorch's own operators compute.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor

from dualgan.files.yaml_text import load_yaml
from dualgan.networks.cpu.algorithms import ALGORITHMS, DIRECT, Call, alternatives
from dualgan.networks.geometry import Geometry
from dualgan.runtime.devices import cpu_name
from dualgan.runtime.distributed import from_rank_zero
from dualgan.runtime.process import busy_seconds

MARGIN = 1.05  # by which an algorithm must be faster than PyTorch's
HOPELESS = 2.0  # times as long at the first call: not looked at again
SECONDS, ROUNDS = 0.02, 10  # per convolution: calls of all algorithms in turns until either, but two rounds at least


class Machine(NamedTuple):
    """What a plan is made for."""

    cpu: str
    threads: int

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' if self.threads > 1 else ''} of {self.cpu}"


def this_machine() -> Machine:
    """The machine as this process uses it."""
    return Machine(cpu_name(), torch.get_num_threads())


class Plan:
    """Which algorithm computes which convolution; those that are not known yet are timed when they come.

    Args:
        machine: What the plan is made for.
        chosen: Names of algorithms by what `in_words` says of a call.

    Attributes:
        seconds: Spent on timing.
    """

    def __init__(self, machine: Machine | None = None, chosen: Mapping[str, str] | None = None) -> None:
        self.machine = machine or this_machine()
        self.chosen = dict(chosen or {})
        self.seconds = 0.0
        self._words: dict[tuple[object, ...], str | None] = {}  # a small network's step has hundreds of calls

    def algorithm(self, call: Call) -> str:
        """The name of a call's algorithm, the same on all ranks, which ask for the same calls in the same order.

        Bias and activation do not tell calls apart: they are timed with those of the first one.

        Raises:
            ValueError: The plan has one for it that cannot compute it.
        """
        x, weight = call.x, call.weight
        kind = (call.direction, x.device.type, x.dtype, weight.dtype, x.shape, weight.shape, call.geometry)
        if kind not in self._words:
            names = alternatives(call)
            self._words[kind] = words = in_words(call) if names else None
            if words in self.chosen:
                _check_suits(words, self.chosen[words], names)
        words = self._words[kind]
        if words is None:
            return DIRECT
        if words not in self.chosen:
            start = time.perf_counter()
            self.machine = this_machine()  # launching processes changes the number of threads
            rivals = {name: _run_of(call, name) for name in (DIRECT, *alternatives(call))}
            self.chosen[words] = from_rank_zero(fastest(rivals))
            self.seconds += time.perf_counter() - start
        return self.chosen[words]

    def plain(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {**self.machine._asdict(), "convolutions": dict(self.chosen)}

    def text(self) -> str:
        """The plan as YAML."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True, width=1000)


def _check_suits(words: str, name: str, names: list[str]) -> None:
    if name not in (DIRECT, *names):
        raise ValueError(
            f"the plan of convolutions has {name!r} for {words!r}, which it cannot compute: expected one of "
            f"{', '.join((DIRECT, *names))}; without the line it is timed anew"
        )


def _run_of(call: Call, name: str) -> Callable[[], object]:
    return lambda: ALGORITHMS[name](call)


def in_words(call: Call) -> str:
    """What a plan calls the direction of a convolution."""
    sizes = f"{'x'.join(map(str, call.x.shape))} by {'x'.join(map(str, call.weight.shape))}"
    geometry = call.geometry
    options = {"stride": geometry.stride, "padding": geometry.padding, "groups": geometry.groups}
    told = [f"{name} {value}" for name, value in options.items() if value != getattr(Geometry, name)]
    kind = ["transposed"] * geometry.transposed
    return " ".join([call.direction, str(call.x.dtype).removeprefix("torch."), sizes, *kind, *told])


def plan_of(data: Any) -> Plan:
    """The plan of plain data.

    Raises:
        ValueError: It is none.
    """
    parts = dict(data) if isinstance(data, Mapping) else {}
    cpu, threads, chosen = parts.get("cpu"), parts.get("threads"), parts.get("convolutions")
    if not isinstance(cpu, str) or type(threads) is not int or not isinstance(chosen, Mapping):
        raise ValueError("expected cpu, threads and convolutions, as in the convolutions.yaml of a run")
    for words, name in chosen.items():
        if not isinstance(name, str) or name not in ALGORITHMS:
            raise ValueError(f"{words!r} has the algorithm {name!r}: expected one of {', '.join(ALGORITHMS)}")
    return Plan(Machine(cpu, threads), {str(words): name for words, name in chosen.items()})


def read_plan(text: str | bytes) -> Plan:
    """The plan of a YAML text.

    Raises:
        ValueError: It is none.
    """
    try:
        return plan_of(load_yaml(text))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no YAML ({error})") from error


def fastest(runs: Mapping[str, Callable[[], object]]) -> str:
    """Name of the fastest of some calls, in turns, each by its best time; the first one where none wins by `MARGIN`.

    The first calls, in which buffers and code are made, only sort out what is hopeless.
    """
    first = next(iter(runs))
    runs[first]()
    least = {name: _seconds(run) for name, run in runs.items()}
    rivals = [name for name in runs if name == first or least[name] < HOPELESS * least[first]]
    least = {name: least[first] if name == first else float("inf") for name in rivals}
    start, rounds = busy_seconds(), 0
    while len(rivals) > 1 and (rounds < 2 or (rounds < ROUNDS and busy_seconds() - start < SECONDS)):
        for name in rivals if rounds % 2 else reversed(rivals):
            least[name] = min(least[name], _seconds(runs[name]))
        rounds += 1
    best = min(rivals, key=lambda name: least[name])
    return best if least[best] * MARGIN < least[first] else first


def _seconds(run: Callable[[], object]) -> float:
    start = busy_seconds()
    run()
    return busy_seconds() - start


_current: Plan | None = None


@contextmanager
def computed_by(plan: Plan | None) -> Iterator[None]:
    """Compute the convolutions inside by a plan; None leaves them to PyTorch."""
    global _current
    before, _current = _current, plan
    try:
        yield
    finally:
        _current = before


def is_planned() -> bool:
    """Whether a plan says how to compute here: steps then round as the machine has it, not as PyTorch does."""
    return _current is not None


def hand_made(call: Call) -> Tensor | None:
    """The result of a call by the algorithm that the current plan has for it; None where that is PyTorch's."""
    if _current is None:
        return None
    name = _current.algorithm(call)
    return None if name == DIRECT else ALGORITHMS[name](call)
