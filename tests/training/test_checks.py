import pytest

from dualgan.training.checks import check_batch, check_precision


def test_precisions() -> None:
    for fine in ("32-true", "bf16-mixed", "64-true", 64, None):
        check_precision(fine)
    reasons = {
        "16-mixed": "gradient penalties overflow in half precision",
        "16-true": "gradient penalties overflow in half precision",
        "bf16-true": "weights and Adam's steps in bfloat16 keep three digits",
        "transformer-engine": "the networks have none of the layers that it replaces",
        "8-true": "there is no such precision",
    }
    for precision, reason in reasons.items():
        with pytest.raises(ValueError, match=rf"'{precision}' is not supported: {reason}.* --trainer.precision bf16-m"):
            check_precision(precision)


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
