"""Metrics that collect features: batches, resets and ranks must not change a number."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from dualgan.metrics import (
    DensityCoverage,
    FeatureMetric,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    PerceptualPathLength,
    PrecisionRecall,
    perceptual_path_length,
)
from dualgan.metrics.functional import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)


def make_metrics() -> list[FeatureMetric]:
    return [FrechetDistance(), KernelDistance(subset_size=20, num_subsets=4), PrecisionRecall(), DensityCoverage()]


def feature_sets() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    return torch.randn(61, 12, generator=source), torch.randn(50, 12, generator=source) * 0.8 + 0.2


def scores(metrics: list[FeatureMetric]) -> list[float]:
    results = [metric.compute() for metric in metrics]
    return [float(value) for result in results for value in (result if isinstance(result, tuple) else (result,))]


def feed(metrics: list[FeatureMetric], features: Tensor, real: bool, batch: int = 16) -> None:
    for metric in metrics:
        for rows in torch.split(features, batch) if len(features) else (features,):
            metric.update(rows, real=real)


def expected_scores(real: Tensor, fake: Tensor) -> list[float]:
    pairs = (*precision_recall(real, fake), *density_coverage(real, fake))
    return [float(x) for x in (frechet_distance(real, fake), kernel_distance(real, fake, 20, 4), *pairs)]


def test_batches_add_up_to_the_formula() -> None:
    real, fake = feature_sets()
    metrics = make_metrics()
    feed(metrics, real, real=True)
    feed(metrics, fake, real=False, batch=7)
    assert scores(metrics) == pytest.approx(expected_scores(real, fake), rel=1e-12)


@pytest.mark.parametrize("forget", [False, True])
def test_reset_keeps_the_real_features_unless_told_otherwise(forget: bool) -> None:
    real, fake = feature_sets()
    metric = FrechetDistance(reset_real_features=forget)
    feed([metric], real, real=True)
    feed([metric], fake + 5, real=False)
    metric.compute()
    metric.reset()
    feed([metric], fake, real=False)
    if forget:
        with pytest.raises(ValueError, match=r"no real features.*update\(features, real=True\)"):
            metric.compute()
    else:
        assert float(metric.compute()) == pytest.approx(float(frechet_distance(real, fake)), rel=1e-12)


def test_metrics_stay_out_of_checkpoints() -> None:
    metrics = make_metrics()
    feed(metrics, feature_sets()[0], real=True)
    assert all(not metric.state_dict() for metric in metrics)


def test_images_instead_of_features_are_named() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 4\): expected \[rows, dimensions\]"):
        FrechetDistance().update(torch.zeros(2, 3, 4, 4), real=True)


def test_a_batch_alone_is_not_scored() -> None:
    for metric in make_metrics():
        with pytest.raises(ValueError, match=r"compares whole sets: feed it with update\(features, real\)"):
            metric(torch.zeros(4, 8), real=False)


def sample_values() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    logits = torch.randn(90, 7, generator=source) * 3
    return logits, torch.rand(90, generator=source)


def sample_scores(share: slice) -> list[Tensor]:
    """Scores of the metrics of generated images alone, fed with a share of the images."""
    logits, lengths = (values[share] for values in sample_values())
    score, ppl = InceptionScore(splits=3), PerceptualPathLength()
    score.update(logits)
    ppl.update(lengths)
    return [*score.compute(), ppl.compute()]


def test_sample_metrics_are_their_formulas() -> None:
    logits, lengths = sample_values()
    wanted = [*inception_score(logits, 3), perceptual_path_length(lengths)]
    assert sample_scores(slice(None)) == wanted
    with pytest.raises(ValueError, match=r"InceptionScore was given shape \(90,\): expected \[images, classes\]"):
        InceptionScore().update(lengths)
    nothing = PerceptualPathLength()
    nothing.update(lengths[:0])
    with pytest.raises(ValueError, match="at least 1 rows"):
        nothing.compute()


def _rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    real, fake = feature_sets()
    uneven = make_metrics()
    feed(uneven, (real[:50], real[50:])[rank], real=True)
    feed(uneven, (fake[:3], fake[3:])[rank], real=False)
    empty = make_metrics()
    feed(empty, (real, real[:0])[rank], real=True)
    feed(empty, (fake[:0], fake)[rank], real=False)
    samples = sample_scores((slice(0, 31), slice(31, None))[rank])
    torch.save([scores(uneven), scores(empty), samples], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_with_uneven_shards_equal_one_process(tmp_path: Path) -> None:
    mp.spawn(_rank, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call, attr-defined]
    for rank in range(2):
        uneven, empty, samples = torch.load(tmp_path / f"{rank}.pt")
        assert uneven == pytest.approx(expected_scores(*feature_sets()), rel=1e-12)
        assert empty == pytest.approx(expected_scores(*feature_sets()), rel=1e-12)
        assert samples == sample_scores(slice(None))
