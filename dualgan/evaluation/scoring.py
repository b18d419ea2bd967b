"""From features to scores: which metrics there are, what each needs and what it is called."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dualgan.evaluation.features import Rows, View
from dualgan.metrics import (
    DensityCoverage,
    FeatureExtractor,
    FeatureMetric,
    InceptionScore,
    KernelDistance,
    PrecisionRecall,
)
from dualgan.metrics.moments import Moments, frechet_from_moments
from dualgan.runtime.distributed import rank, world_size

logger = logging.getLogger("dualgan.evaluation")

KERNEL_SUBSET_SIZE, KERNEL_SUBSETS = 1000, 100  # the field's values
PRECISION_RECALL_K, DENSITY_COVERAGE_K = 3, 5
INCEPTION_SPLITS = 10

FEATURES, HIDDEN = "features", "hidden"  # how images are seen: by the extractor, by the discriminator


@dataclass
class Side:
    """This rank's features of one set, as far as scores need them.

    Attributes:
        moments: of all rows.
        rows: the rows [n, d] themselves, where a metric besides the Frechet distance needs them.
    """

    moments: Moments
    rows: Tensor | None

    def frechet(self, fake: "Side") -> float:
        """Frechet distance of all ranks' rows to those of the generated side."""
        return float(frechet_from_moments(_over_ranks(self.moments), _over_ranks(fake.moments)))


def collect(chunks: Iterable[Rows], views: Mapping[str, View], keep: bool) -> dict[str, Side]:
    """Go through features chunk by chunk.

    Args:
        chunks: features by the name of their view.
        views: how the images were seen.
        keep: keep the extractor's features; without, memory does not grow with their number.
    """
    kept = [torch.empty(0, views[FEATURES].width)] if keep and FEATURES in views else []
    moments = {name: Moments() for name in views}
    for chunk in chunks:
        for name, rows in chunk.items():
            moments[name].update(rows)
        kept += [chunk[FEATURES]] if kept else []
    return {name: Side(moments[name], torch.cat(kept) if kept and name == FEATURES else None) for name in views}


def inception_score(fake: Side, extractor: FeatureExtractor, device: torch.device | str) -> float:
    """Mean inception score over splits; the extractor's classes are told from its features."""
    assert fake.rows is not None
    metric = InceptionScore(INCEPTION_SPLITS).to(device)
    logits = torch.cat([extractor.logits(rows.to(device)) for rows in torch.split(fake.rows, 4096)])
    metric.update(logits)
    return float(metric.compute()[0])


def needs_rows(metrics: Sequence[str]) -> bool:
    """Whether features themselves must be kept."""
    return "inception_score" in metrics or not {kind for kinds in _families(0, 0) for kind in kinds}.isdisjoint(metrics)


def reported_name(kind: str, extractor: FeatureExtractor) -> str:
    """Name under which a metric is reported."""
    return kind if kind == "fddf" else extractor.metric_name(kind)


def score(
    metrics: Sequence[str],
    real: Mapping[str, Side],
    fake: Mapping[str, Side],
    subset_size: int,
    seed: int,
    device: torch.device | str,
) -> dict[str, float]:
    """Score this rank's shares, one metric object at a time: each gathers its own copy of all features.

    Args:
        metrics: any of "frechet", "kernel", "precision", "recall", "density", "coverage", "fddf".
        real: real images as the networks see them.
        fake: generated images as the networks see them.
        subset_size: of the kernel distance.
        seed: of the kernel distance's subsets.
        device: where to compute.
    """
    views = {"frechet": FEATURES, "fddf": HIDDEN}
    scores = {kind: real[view].frechet(fake[view]) for kind, view in views.items() if kind in metrics}
    for kinds, make in _families(subset_size, seed).items():
        if set(kinds).isdisjoint(metrics):
            continue
        metric = make().to(device)
        for rows, is_real in ((real[FEATURES].rows, True), (fake[FEATURES].rows, False)):
            assert rows is not None
            metric.update(rows, real=is_real)
        result = metric.compute()
        values = result if isinstance(result, tuple) else (result,)
        scores |= {kind: float(value) for kind, value in zip(kinds, values, strict=True)}
    return scores


def _families(subset_size: int, seed: int) -> dict[tuple[str, ...], Callable[[], FeatureMetric]]:
    """Metrics on the features themselves."""
    return {
        ("kernel",): partial(KernelDistance, subset_size=subset_size, num_subsets=KERNEL_SUBSETS, seed=seed),
        ("precision", "recall"): partial(PrecisionRecall, k=PRECISION_RECALL_K),
        ("density", "coverage"): partial(DensityCoverage, k=DENSITY_COVERAGE_K),
    }


def parameters(metrics: Sequence[str], subset_size: int) -> dict[str, Any]:
    """What the formulas were told, for the record."""
    told: dict[str, Any] = {}
    if "kernel" in metrics:
        told |= {"kernel_subset_size": subset_size, "kernel_num_subsets": KERNEL_SUBSETS}
    if not {"precision", "recall"}.isdisjoint(metrics):
        told["precision_recall_k"] = PRECISION_RECALL_K
    if not {"density", "coverage"}.isdisjoint(metrics):
        told["density_coverage_k"] = DENSITY_COVERAGE_K
    if "inception_score" in metrics:
        told["inception_score_splits"] = INCEPTION_SPLITS
    return told


def check_counts(metrics: Sequence[str], extractor: FeatureExtractor, num_real: int, num_fake: int) -> None:
    """Refuse numbers of images that a metric cannot work with, before any image is made; warn of biased numbers.

    Raises:
        ValueError: too few images.
    """
    least = {"frechet": 2, "kernel": 2, "precision": PRECISION_RECALL_K + 1, "recall": PRECISION_RECALL_K + 1}
    least["inception_score"] = INCEPTION_SPLITS
    least |= {"density": DENSITY_COVERAGE_K + 1, "coverage": DENSITY_COVERAGE_K + 1}
    for kind in metrics:
        for name, count in (("generated", num_fake), ("real", num_real)):
            if name == "real" and kind == "inception_score":
                continue
            if count < least.get(kind, 2):
                raise ValueError(
                    f"{count} {name} images are too few for {reported_name(kind, extractor)}: it needs "
                    f"{least.get(kind, 2)} or more. Take more images or leave that metric out."
                )
    _warn_if_singular(metrics, extractor, num_real, num_fake)


def _warn_if_singular(metrics: Sequence[str], extractor: FeatureExtractor, num_real: int, num_fake: int) -> None:
    if "frechet" not in metrics or rank() != 0:
        return
    for name, count in (("generated", num_fake), ("real", num_real)):
        if count < extractor.dim:
            logger.warning(
                "%d %s images are fewer than the %d dimensions of %s: their covariance is singular and %s is biased "
                "upward. Compare it only with numbers from the same counts.",
                count, name, extractor.dim, extractor.name, extractor.metric_name("frechet"),
            )  # fmt: skip


def _over_ranks(moments: Moments) -> Moments:
    """Moments of the rows of all ranks, in rank order."""
    if world_size() == 1:
        return moments
    parts: list[Any] = [None] * world_size()
    moments.compact()
    dist.all_gather_object(parts, moments)
    whole = Moments()
    whole.merge(parts)
    return whole
