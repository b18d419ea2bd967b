import math
import re

import pytest

from dualgan.training.schedule import (
    Cosine,
    Linear,
    Schedule,
    Steps,
    cooldown_factor,
    default_warmup_kimg,
    is_due,
    lazy_adam,
    value_at,
)


def test_due_at_multiples() -> None:
    assert [step for step in range(9) if is_due(step, 4)] == [0, 4, 8]


def test_no_lazy_steps_leave_adam_alone() -> None:
    assert lazy_adam(0.002, (0.0, 0.99), None) == {"lr": 0.002, "betas": (0.0, 0.99)}


def test_lazy_adam_is_the_published_correction() -> None:
    settings = lazy_adam(0.002, (0.0, 0.99), 16)
    assert settings["lr"] == pytest.approx(0.002 * 16 / 17)
    assert settings["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))


def test_warm_up_is_twenty_epochs_but_a_small_part_of_the_training() -> None:
    assert default_warmup_kimg(1000, 25_000_000) == 20
    assert default_warmup_kimg(3_000_000, 25_000_000) == 1500


def test_a_cooldown_is_a_straight_line_to_the_end() -> None:
    assert [cooldown_factor(seen, 30_000, 10) for seen in (0, 20_000, 25_000, 30_000)] == [1, 1, 0.5, 0]
    assert cooldown_factor(30_008, 30_000, 10) == 0  # the last batch may pass the end
    assert cooldown_factor(29_999, 30_000, 0) == 1


def test_schedules_go_from_start_to_end_and_stay() -> None:
    line, wave = Linear(0, 0.002, 10), Cosine(2e-4, 5e-5, 10)
    assert [line.at(seen) for seen in (0, 2500, 10_000, 99_999)] == pytest.approx([0, 0.0005, 0.002, 0.002])
    # base + (1 - 0.5 (1 + cos(pi n / T))) (final - base)
    for seen in (0, 2500, 5000, 9999):
        expected = 2e-4 + (1 - 0.5 * (1 + math.cos(math.pi * seen / 10_000))) * (5e-5 - 2e-4)
        assert wave.at(seen) == pytest.approx(expected)
    assert wave.at(10_000) == wave.at(10**9) == pytest.approx(5e-5)
    assert value_at(0.3, 5) == 0.3


def test_steps_jump_at_their_times_and_stay() -> None:
    rates = Steps([0.001, 0.0015, 0.002], [4200, 5400])
    seen = (0, 4_199_999, 4_200_000, 5_399_999, 5_400_000, 10**9)
    assert [rates.at(images) for images in seen] == [0.001, 0.001, 0.0015, 0.0015, 0.002, 0.002]
    assert (rates.start, rates.end, rates.kimg) == (0.001, 0.002, 5400)
    rates.check("learning_rate")


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Steps([1, 2], [5, 6]), "r1_gamma has 2 values and 2 times at_kimg: expected one value more than times"),
        (Steps([], []), "r1_gamma has 0 values and 0 times"),
        (Steps([1], []), "r1_gamma has 1 values and 0 times"),
        (Steps([1, 2, 3], [6, 5]), "r1_gamma.at_kimg [6, 5] does not rise"),
        (Steps([1, 2], [0]), "r1_gamma.at_kimg [0] does not rise"),
        (Steps([0, -1, 2], [4, 5]), "r1_gamma.start -1 is out of range"),
        (Steps([0, 0], [4]), "r1_gamma goes from 0 to 0"),
        (Steps([0.5, 1.5, 0.5], [1, 2]), "r1_gamma.end 1.5 is out of range: expected 0 or more and less than 1"),
        (Linear(-1, 1, 10), "r1_gamma.start -1 is out of range"),
        (Cosine(1, math.nan, 10), "r1_gamma.end nan is out of range"),
        (Cosine(1, 2, 0), "r1_gamma.kimg 0 is out of range"),
        (Linear(0, 0, 5), "r1_gamma goes from 0 to 0"),
        (Linear(0.9, 1.5, 5), "r1_gamma.end 1.5 is out of range: expected 0 or more and less than 1"),
    ],
)
def test_bad_schedules_are_named(schedule: Schedule, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        schedule.check("r1_gamma", below=1 if "less than 1" in message else math.inf)
