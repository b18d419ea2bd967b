"""The four formulas: golden numbers, independent implementations, and properties a user would expect."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from dualgan.metrics import blocks, manifold
from dualgan.metrics.functional import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)

GOLDEN = Path(__file__).parents[1] / "golden"
Formula = Callable[[Tensor, Tensor], Tensor | tuple[Tensor, Tensor]]
FORMULAS: list[Formula] = [frechet_distance, kernel_distance, precision_recall, density_coverage]


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN / "metric_features.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def expected() -> dict[str, float]:
    values = json.loads((GOLDEN / "metric_values.json").read_text())
    flat = {name: value for name, value in values.items() if not isinstance(value, dict)}
    return flat | {f"{group}/{name}": v for group, d in values.items() if isinstance(d, dict) for name, v in d.items()}


def random_sets(n: int, m: int, d: int, shift: float = 0.3) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(n + 7 * m + 31 * d)
    real, fake = torch.randn(n, d, generator=source), torch.randn(m, d, generator=source)
    return real, fake * 0.7 + shift


def as_tuple(result: Tensor | tuple[Tensor, Tensor]) -> tuple[float, ...]:
    return tuple(float(value) for value in (result if isinstance(result, tuple) else (result,)))


def test_frechet_distance_is_the_published_number(golden: dict[str, Tensor], expected: dict[str, float]) -> None:
    real, fake = golden["real"], golden["fake"]
    assert float(frechet_distance(real, fake)) == pytest.approx(expected["frechet_distance(real,fake)"], rel=1e-6)
    few = frechet_distance(real[:40], fake)
    assert float(few) == pytest.approx(expected["frechet_distance(few40,fake)"], rel=1e-6)
    assert few.dtype == torch.float64
    assert few.ndim == 0


def test_kernel_distance_is_the_published_number(golden: dict[str, Tensor], expected: dict[str, float]) -> None:
    value = float(kernel_distance(golden["real"], golden["fake"]))
    assert value == pytest.approx(expected["kid_unbiased_full(real,fake)"], rel=1e-6)


def test_manifold_metrics_are_the_published_numbers(golden: dict[str, Tensor], expected: dict[str, float]) -> None:
    real, fake = golden["real"], golden["fake"]
    assert as_tuple(precision_recall(real, fake)) == (expected["prdc_k3/precision"], expected["prdc_k3/recall"])
    assert as_tuple(precision_recall(real, fake, k=5)) == (expected["prdc_k5/precision"], expected["prdc_k5/recall"])
    for k in (3, 5):
        value = as_tuple(density_coverage(real, fake, k=k))
        assert value == pytest.approx((expected[f"prdc_k{k}/density"], expected[f"prdc_k{k}/coverage"]), rel=1e-15)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 300), (300, 20), (300, 400)])
def test_frechet_distance_agrees_with_the_matrix_square_root(n: int, m: int) -> None:
    real, fake = random_sets(n, m, 48)
    a, b = real.double().numpy(), fake.double().numpy()
    sigma_a, sigma_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # sqrtm(A^1/2 B A^1/2): the symmetric form stays defined for singular covariances
    values, vectors = scipy.linalg.eigh(sigma_a)
    half = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    inner = scipy.linalg.eigvalsh(half @ sigma_b @ half).clip(min=0)
    if min(n, m) > 48:
        inner = scipy.linalg.sqrtm(sigma_a @ sigma_b).real.diagonal() ** 2
    trace = np.sqrt(inner).sum()
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sigma_a) + np.trace(sigma_b) - 2 * trace
    assert float(frechet_distance(real, fake)) == pytest.approx(wanted, rel=1e-6)


def test_torch_fidelity_gives_the_same_numbers(golden: dict[str, Tensor], expected: dict[str, float]) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    real, fake = golden["real"].double(), golden["fake"].double()
    statistics = [fid_features_to_statistics(features) for features in (real, fake)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert float(frechet_distance(real, fake)) == pytest.approx(theirs, rel=1e-6)
    for size, count in ((500, 1), (100, 7), (20, 5)):  # both ways to sum: over all rows, over each subset
        options = {"kid_subset_size": size, "kid_subsets": count, "rng_seed": 2020, "verbose": False}
        theirs = kid_features_to_metric(fake, real, **options)[KEY_METRIC_KID_MEAN]
        ours = kernel_distance(real, fake, subset_size=size, num_subsets=count, seed=2020)
        assert float(ours) == pytest.approx(theirs, rel=1e-9)
    once = expected["torch_fidelity_kid_subset500_once/kernel_inception_distance_mean"]
    ours = kernel_distance(real, fake, subset_size=500, num_subsets=1, seed=1)
    assert float(ours) == pytest.approx(once, rel=1e-5)  # theirs in float32


def test_kernel_subsets_depend_on_the_seed_only() -> None:
    real, fake = random_sets(90, 80, 8)
    first, again, other = (float(kernel_distance(real, fake, 30, 5, seed=s)) for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_set_against_itself_is_perfect(formula: Formula) -> None:
    # whole numbers: distances are exact, so ties are ties
    features = torch.randint(-50, 50, (64, 12), generator=torch.Generator().manual_seed(0)).float()
    wanted = {frechet_distance: (0.0,), precision_recall: (1.0, 1.0), density_coverage: (1.0, 1.0)}
    if formula is kernel_distance:
        assert as_tuple(formula(features, features))[0] < 0  # unbiased: half of the estimates are below zero
    else:
        assert as_tuple(formula(features, features)) == pytest.approx(wanted[formula], abs=1e-9)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_order_of_rows_does_not_matter(formula: Formula) -> None:
    real, fake = random_sets(70, 50, 10)
    mixed = formula(real[torch.randperm(70)], fake[torch.randperm(50)])
    assert as_tuple(mixed) == pytest.approx(as_tuple(formula(real, fake)), rel=1e-9)


@pytest.mark.parametrize("formula", FORMULAS)
def test_small_blocks_change_nothing(formula: Formula, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = random_sets(130, 70, 10)
    whole = as_tuple(formula(real, fake))
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 500)
    assert as_tuple(formula(real, fake)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("formula", FORMULAS)
def test_shifting_the_fakes_away_makes_every_score_worse(formula: Formula) -> None:
    real, _ = random_sets(80, 60, 6)
    near, far = as_tuple(formula(real, real[:60] + 0.01)), as_tuple(formula(real, real[:60] + 3))
    lower_is_better = formula in (frechet_distance, kernel_distance)
    assert all((a < b) == lower_is_better for a, b in zip(near, far, strict=True))


def test_collapsed_generators_get_defined_scores() -> None:
    real, _ = random_sets(60, 2, 8)
    collapsed = (real[0] * 1.7 + 0.123).repeat(50, 1)
    mean = (real.double().mean(0) - collapsed[0].double()).square().sum()
    wanted = mean + real.double().var(0).sum()  # no covariance is left on the generated side
    assert float(frechet_distance(real, collapsed)) == pytest.approx(float(wanted), rel=1e-9)
    assert as_tuple(frechet_distance(collapsed, collapsed)) == (0.0,)
    assert float(kernel_distance(collapsed, collapsed)) == pytest.approx(0, abs=1e-9)
    assert as_tuple(precision_recall(real, collapsed))[1] == 0
    assert as_tuple(precision_recall(collapsed, collapsed)) == (0.0, 0.0)  # open balls of radius 0
    assert as_tuple(density_coverage(collapsed, collapsed)) == (0.0, 0.0)


@pytest.mark.parametrize("formula", FORMULAS)
def test_bad_features_are_named(formula: Formula) -> None:
    real, fake = random_sets(20, 20, 5)
    broken = fake.clone()
    broken[3, 2] = torch.nan
    with pytest.raises(ValueError, match=r"generated features hold NaN.* 1 of 20 rows"):
        formula(real, broken)
    with pytest.raises(ValueError, match=r"\(1, 5\).*at least 2 rows"):
        formula(real[:1], fake)
    with pytest.raises(ValueError, match=r"real features have 5 dimensions and generated ones 4"):
        formula(real, fake[:, :4])


def test_settings_that_do_not_fit_are_named() -> None:
    real, fake = random_sets(20, 10, 5)
    with pytest.raises(ValueError, match=r"k 10 does not fit 10 generated rows"):
        precision_recall(real, fake, k=10)
    with pytest.raises(ValueError, match=r"k 20 does not fit 20 real rows"):
        density_coverage(real, fake, k=20)
    with pytest.raises(ValueError, match=r"subset_size 11 does not fit 20 real and 10 generated rows"):
        kernel_distance(real, fake, subset_size=11)
    with pytest.raises(ValueError, match=r"num_subsets 0"):
        kernel_distance(real, fake, subset_size=5, num_subsets=0)


def whole_numbers(n: int, d: int, seed: int, high: int = 3) -> Tensor:
    """Features with many equal distances, all of them exact."""
    return torch.randint(0, high, (n, d), generator=torch.Generator().manual_seed(seed)).float()


def offset_sets() -> tuple[Tensor, Tensor]:
    # products of large numbers round badly in float32
    real, fake = random_sets(120, 130, 40)
    return real.double() + 30, fake.double() + 30


PRDC_SETS: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "random": lambda: random_sets(150, 170, 32),
    "fewer rows than dimensions": lambda: random_sets(30, 25, 200),
    "equal distances": lambda: (whole_numbers(90, 6, 0), whole_numbers(110, 6, 1)),
    "duplicates": lambda: (whole_numbers(80, 3, 2), whole_numbers(80, 3, 3)),
    "identical points": lambda: (torch.ones(40, 8), torch.ones(50, 8)),
    "identical generated points": lambda: (whole_numbers(60, 8, 4, 9), torch.full((50, 8), 3.0)),
    "the same set": lambda: (whole_numbers(70, 8, 5, 99), whole_numbers(70, 8, 5, 99)),
    "far from zero": offset_sets,
}


@pytest.mark.parametrize("path", ["float32", "all measured again", "float64"])
@pytest.mark.parametrize("name", PRDC_SETS)
def test_manifold_metrics_are_exactly_those_of_prdc(name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from prdc import compute_prdc

    monkeypatch.setattr(manifold, "_UNDECIDED", {"float32": 0.01, "all measured again": 1.0, "float64": -1.0}[path])
    real, fake = PRDC_SETS[name]()
    for k in (1, 5):
        theirs = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
        assert as_tuple(precision_recall(real, fake, k)) == (theirs["precision"], theirs["recall"])
        density, coverage = as_tuple(density_coverage(real, fake, k))
        assert density == pytest.approx(theirs["density"], rel=1e-15)  # theirs divides twice
        assert coverage == theirs["coverage"]


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_factors_that_torch_may_round_are_not_trusted(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        assert (manifold.product_dtype() == torch.float32) == (precision == "highest")
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("splits", [1, 10, 7])
def test_inception_score_is_torch_fidelitys(splits: int) -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = random_sets(103, 2, 17)[0] * 4
    theirs = isc_features_to_metric(logits, splits)
    mean, std = inception_score(logits, splits)
    assert float(mean) == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert float(std) == pytest.approx(theirs["inception_score_std"], rel=1e-9, abs=1e-12)


def test_inception_score_knows_its_bounds() -> None:
    certain = torch.eye(10).repeat(8, 1) * 5000  # probabilities of exactly 0
    assert as_tuple(inception_score(certain, splits=2, seed=None)) == pytest.approx((10.0, 0.0))
    assert as_tuple(inception_score(torch.zeros(30, 10))) == pytest.approx((1.0, 0.0))
    with pytest.raises(ValueError, match="splits 31 do not fit 30 images"):
        inception_score(torch.zeros(30, 10), splits=31)
    with pytest.raises(ValueError, match=r"logits hold NaN or infinity in 30 of 30 rows"):
        inception_score(torch.full((30, 4), torch.nan))
