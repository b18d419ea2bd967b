import pytest

from dualgan.training.schedule import (
    check_batch,
    check_precision,
    cooldown_factor,
    default_warmup_kimg,
    ema_decay,
    is_due,
    lazy_adam,
)


def test_due_at_multiples() -> None:
    assert [step for step in range(9) if is_due(step, 4)] == [0, 4, 8]


def test_no_lazy_steps_leave_adam_alone() -> None:
    assert lazy_adam(0.002, (0.0, 0.99), None) == {"lr": 0.002, "betas": (0.0, 0.99)}


def test_lazy_adam_is_the_published_correction() -> None:
    settings = lazy_adam(0.002, (0.0, 0.99), 16)
    assert settings["lr"] == pytest.approx(0.002 * 16 / 17)
    assert settings["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))


def test_ema_decay_halves_after_the_half_life_whatever_the_batch() -> None:
    for batch in (4, 32):
        assert ema_decay(batch, 0, 10, None) ** (10_000 / batch) == pytest.approx(0.5)


def test_ema_ramp_up_bounds_the_half_life_by_what_was_seen() -> None:
    assert ema_decay(32, 0, 10, 0.05) == 0
    assert ema_decay(32, 20_000, 10, 0.05) == pytest.approx(0.5 ** (32 / 1000))
    assert ema_decay(32, 10**9, 10, 0.05) == ema_decay(32, 0, 10, None)


def test_warm_up_is_twenty_epochs_but_a_small_part_of_the_training() -> None:
    assert default_warmup_kimg(1000, 25_000_000) == 20
    assert default_warmup_kimg(3_000_000, 25_000_000) == 1500


def test_a_cooldown_is_a_straight_line_to_the_end() -> None:
    assert [cooldown_factor(seen, 30_000, 10) for seen in (0, 20_000, 25_000, 30_000)] == [1, 1, 0.5, 0]
    assert cooldown_factor(30_008, 30_000, 10) == 0  # the last batch may pass the end
    assert cooldown_factor(29_999, 30_000, 0) == 1


def test_precisions() -> None:
    for fine in ("32-true", "bf16-mixed", None):
        check_precision(fine)
    with pytest.raises(ValueError, match=r"'16-mixed' is not supported: .* Use --trainer.precision bf16-mixed"):
        check_precision("16-mixed")


def test_batches_must_divide() -> None:
    check_batch(32, 4, 8, 4)
    with pytest.raises(ValueError, match=r"batch_size 32 is not divisible by 3 devices = 3: choose a multiple of 3"):
        check_batch(32, 3, None, 4)
    with pytest.raises(ValueError, match=r"2 devices x micro_batch 12 = 24"):
        check_batch(32, 2, 12, 4)


def test_groups_of_the_discriminator_stay_whole() -> None:
    check_batch(2, 1, None, 4)  # one group of two
    check_batch(8, 4, 2, 2)
    check_batch(6, 2, 1, 1)
    with pytest.raises(
        ValueError, match=r"micro_batch 2 gives the discriminator 2 images .* groups of 4: .*_std_group"
    ):
        check_batch(16, 2, 2, 4)
    with pytest.raises(ValueError, match=r"batch_size 8 over 4 devices gives the discriminator 2 images"):
        check_batch(8, 4, None, 4)
    with pytest.raises(ValueError, match="choose a multiple of 4"):
        check_batch(6, 1, None, 4)
