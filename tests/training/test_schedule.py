import pytest

from dualgan.training.schedule import cooldown_factor, default_warmup_kimg, is_due, lazy_adam


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
