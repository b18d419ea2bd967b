import pytest

from dualgan.training.averaging import half_life_decay


def test_ema_decay_halves_after_the_half_life_whatever_the_batch() -> None:
    for batch in (4, 32):
        assert half_life_decay(batch, 0, 10, None) ** (10_000 / batch) == pytest.approx(0.5)


def test_ema_ramp_up_bounds_the_half_life_by_what_was_seen() -> None:
    assert half_life_decay(32, 0, 10, 0.05) == 0
    assert half_life_decay(32, 20_000, 10, 0.05) == pytest.approx(0.5 ** (32 / 1000))
    assert half_life_decay(32, 10**9, 10, 0.05) == half_life_decay(32, 0, 10, None)
