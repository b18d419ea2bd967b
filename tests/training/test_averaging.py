import pytest

from dualgan.training.averaging import MovingAverage, half_life_decay
from dualgan.training.schedule import Cosine


def test_ema_decay_halves_after_the_half_life_whatever_the_batch() -> None:
    for batch in (4, 32):
        assert half_life_decay(batch, 0, 10, None) ** (10_000 / batch) == pytest.approx(0.5)


def test_ema_ramp_up_bounds_the_half_life_by_what_was_seen() -> None:
    assert half_life_decay(32, 0, 10, 0.05) == 0
    assert half_life_decay(32, 20_000, 10, 0.05) == pytest.approx(0.5 ** (32 / 1000))
    assert half_life_decay(32, 10**9, 10, 0.05) == half_life_decay(32, 0, 10, None)


def test_a_fixed_decay_starts_where_it_is_told() -> None:
    average = MovingAverage(decay=0.9999, start_kimg=1)
    assert [average.decay(64, seen) for seen in (0, 999, 1000, 10**6)] == [0, 0, 0.9999, 0.9999]


def test_a_half_life_may_grow() -> None:
    average = MovingAverage(Cosine(0, 500, 20_000))
    assert average.decay(512, 0) == 0
    assert average.decay(512, 10_000_000) == pytest.approx(0.5 ** (512 / 250_000))
    assert average.decay(512, 10**9) == pytest.approx(0.5 ** (512 / 500_000))


def test_a_decay_and_a_half_life_are_not_both_given() -> None:
    with pytest.raises(ValueError, match=r"ema_decay 0.9 takes the place of a half-life: .* leave them out"):
        MovingAverage(5.0, decay=0.9)
    with pytest.raises(ValueError, match=r"ema_decay 0.9"):
        MovingAverage(rampup=0.05, decay=0.9)
