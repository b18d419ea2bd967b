"""What a training measures where nobody has said so."""

import pytest

from dualgan.evaluation.planning import FEWEST, MOST, SHARE, Plan, plan_evaluations

SIZES = [2, 16, 300, 5000, 70_000, 3_000_000]
LENGTHS = [40, 28_000, 1_000_000, 25_000_000]  # images that the training sees


def evaluations(plan: Plan, total_images: int) -> int:
    """Before, after, and at each multiple between."""
    return 1 + -(-total_images // round(1000 * plan.every_kimg))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("length", LENGTHS)
def test_evaluations_are_no_larger_than_set_and_training_make_sensible(size: int, length: int) -> None:
    plan = plan_evaluations(None, None, None, size, length)
    assert 2 <= plan.num_fake <= min(size, 50_000)
    assert plan.num_real is None or plan.num_real == plan.num_fake < size
    count = evaluations(plan, length)
    assert 2 <= count <= 1 + MOST
    assert count * plan.num_fake <= max(SHARE * length, 2 * FEWEST)


@pytest.mark.parametrize("length", LENGTHS)
def test_longer_trainings_and_larger_sets_are_never_measured_on_fewer_images(length: int) -> None:
    plans = [plan_evaluations(None, None, None, size, length) for size in SIZES]
    assert [plan.num_fake for plan in plans] == sorted(plan.num_fake for plan in plans)
    for size in SIZES:
        counts = [plan_evaluations(None, None, None, size, long).num_fake for long in LENGTHS]
        assert counts == sorted(counts)


def test_settings_win() -> None:
    assert plan_evaluations(50_000, 50_000, 200.0, 16, 40) == Plan(50_000, 50_000, 200.0)
    assert plan_evaluations(50_000, None, 200.0, 16, 40) == Plan(50_000, None, 200.0)
    assert plan_evaluations(None, 8, None, 16, 40).num_fake == 8
    assert plan_evaluations(None, None, 0.5, 5000, 100_000).every_kimg == 0.5
    assert plan_evaluations(8, None, None, 16, 40).num_real is None


def test_a_long_training_on_a_large_set_has_the_published_counts() -> None:
    plan = plan_evaluations(None, None, None, 70_000, 25_000_000)
    assert (plan.num_fake, plan.num_real) == (50_000, None)


def test_a_metric_gets_the_images_that_it_needs() -> None:
    assert plan_evaluations(None, None, None, 5, 40, least=10).num_fake == 10
