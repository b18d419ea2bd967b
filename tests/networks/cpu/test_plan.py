import itertools
import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from dualgan.networks.convolution import SAME, convolve
from dualgan.networks.cpu import plan as plans
from dualgan.networks.cpu.algorithms import DIRECT, Call
from dualgan.networks.cpu.plan import Machine, Plan, computed_by, fastest, read_plan, this_machine

CALL = Call("forward", torch.ones(4, 64, 16, 16), torch.ones(64, 64, 3, 3), None, SAME)
WORDS = "forward float32 4x64x16x16 by 64x64x3x3 padding 1"


class Clock:
    """Time that passes only while something runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        monkeypatch.setattr("dualgan.networks.cpu.plan.busy_seconds", lambda: self.now)

    def takes(self, name: str, *seconds: float) -> Callable[[], None]:
        """Something that takes as long as is given, call by call, and then the last of these."""
        left = itertools.chain(seconds, itertools.repeat(seconds[-1]))

        def run() -> None:
            self.calls.append(name)
            self.now += next(left)

        return run


@pytest.mark.parametrize(
    ("other", "winner"), [((0.9,), "other"), ((1.0,), "direct"), ((0.97,), "direct"), ((9.0, 0.1), "direct")]
)
def test_the_fastest_wins_by_a_margin(other: tuple[float, ...], winner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert fastest({"direct": clock.takes("direct", 5.0, 1.0), "other": clock.takes("other", *other)}) == winner


def test_best_times_count_and_many_short_ones_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    disturbed = clock.takes("other", 0.0009, 0.002, 0.0005, 0.002)
    assert fastest({"direct": clock.takes("direct", 0.001), "other": disturbed}) == "other"
    assert plans.ROUNDS >= clock.calls.count("other") > 3
    clock.calls.clear()
    fastest(
        {"direct": clock.takes("direct", 1.0), "other": clock.takes("other", 1.0), "slow": clock.takes("slow", 3.0)}
    )
    assert (clock.calls.count("direct"), clock.calls.count("other"), clock.calls.count("slow")) == (4, 3, 1)


def test_what_was_timed_is_written_down_and_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "fastest", lambda runs: "winograd")
    plan = Plan()
    assert plan.algorithm(CALL) == "winograd"
    assert plan.chosen == {WORDS: "winograd"}
    again = read_plan(f"# a comment\n{plan.text()}")
    assert (again.machine, again.chosen) == (plan.machine, plan.chosen) == (this_machine(), {WORDS: "winograd"})
    monkeypatch.setattr(plans, "fastest", lambda runs: pytest.fail("it is known already"))
    assert again.algorithm(CALL) == "winograd"


def test_a_plan_is_of_the_threads_that_were_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "fastest", lambda runs: "winograd")
    plan, before = Plan(), torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)  # as for the processes of a training, after the networks are built
        plan.algorithm(CALL)
        assert plan.machine == this_machine() != Machine(plan.machine.cpu, before)
    finally:
        torch.set_num_threads(before)


def test_a_machine_is_said_in_words() -> None:
    assert str(Machine("A", 1)) == "1 thread of A"
    assert str(Machine("A", 2)) == "2 threads of A"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "it is no YAML"),
        ("3", "expected cpu, threads and convolutions"),
        ("{cpu: A, convolutions: {}}", "expected cpu, threads and convolutions"),
        ("{cpu: A, threads: 1, convolutions: [x]}", "expected cpu, threads and convolutions"),
        ("{cpu: A, threads: true, convolutions: {}}", "expected cpu, threads and convolutions"),
        ("{cpu: A, threads: 1, convolutions: {a: [1]}}", "'a' has the algorithm [1]: expected one of direct, winograd"),
        ("{cpu: A, threads: 1, convolutions: {a: fft}}", "'a' has the algorithm 'fft': expected one of direct, winogr"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        read_plan(text)


def test_an_algorithm_that_cannot_compute_its_convolution_is_refused() -> None:
    x, weight = torch.randn(4, 64, 15, 15), torch.randn(64, 64, 3, 3)
    words = "weight float32 4x64x15x15 by 64x64x3x3 padding 1"
    plan = Plan(chosen={words: "winograd"})
    with pytest.raises(ValueError, match=f"'winograd' for '{words}', .* expected one of direct, columns; without the"):
        plan.algorithm(Call("weight", x, weight, x, SAME))
    plan.chosen[words] = "columns"
    assert Plan(chosen=plan.chosen).algorithm(Call("weight", x, weight, x, SAME)) == "columns"


def test_without_a_plan_and_after_it_pytorch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(4, 64, 16, 16), torch.randn(64, 64, 3, 3)
    exact = F.conv2d(x, weight, padding=1)
    monkeypatch.setattr(plans, "fastest", lambda runs: "winograd")
    with computed_by(Plan()):
        assert not torch.equal(convolve(x, weight, SAME), exact)
        with computed_by(None):
            assert torch.equal(convolve(x, weight, SAME), exact)
        assert not torch.equal(convolve(x, weight, SAME), exact)
    assert torch.equal(convolve(x, weight, SAME), exact)


def test_measuring_draws_no_random_numbers() -> None:
    x, weight = torch.randn(4, 64, 16, 16), torch.randn(64, 64, 3, 3)
    state = torch.get_rng_state()
    plan = Plan()
    with computed_by(plan):
        convolve(x, weight, SAME)
    assert list(plan.chosen) == [WORDS]
    assert plan.chosen[WORDS] in ("winograd", DIRECT)
    assert plan.seconds > 0
    assert torch.equal(torch.get_rng_state(), state)
