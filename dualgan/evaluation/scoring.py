"""From features to scores: the metric objects of one evaluation."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from dualgan.evaluation.features import Rows, View
from dualgan.metrics import FeatureExtractor, FrechetDistance
from dualgan.metrics.table import Counts, MetricSpec, reported_name, spec_of, specs_of
from dualgan.runtime.distributed import rank

logger = logging.getLogger("dualgan.evaluation")

FEATURES, HIDDEN = "features", "hidden"  # how images are seen: by the extractor, by the discriminator


class Scores:
    """Metrics of real and generated images, fed with this rank's features chunk by chunk.

    Args:
        kinds: of the numbers that are wanted.
        extractor: that makes the features; None where only a discriminator sees the images.
        count: number of images of the smaller set.
        seed: of what metrics draw.
        device: where to compute.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        extractor: FeatureExtractor | None,
        count: int,
        seed: int,
        device: torch.device | str,
    ) -> None:
        self.kinds, self.extractor, self.device = kinds, extractor, device
        self.specs = specs_of(kinds)
        self.metrics = {spec.name: spec.metric.for_sets(count, seed) for spec in self.specs}

    def feed(self, chunks: Iterable[Rows], views: Mapping[str, View], real: bool) -> None:
        """Take the features of one set, all of which metrics share: none has a copy of its own."""
        self._update({name: torch.empty(0, view.width) for name, view in views.items()}, real)  # a rank may have none
        for rows in chunks:
            self._update(rows, real)

    def _update(self, rows: Rows, real: bool) -> None:
        for spec in self.specs:
            if spec.source in rows:
                self.metrics[spec.name].update(rows[spec.source], real=real)
            elif spec.source == "logits" and FEATURES in rows and not real:
                assert self.extractor is not None, "the features are somebody's"
                self.metrics[spec.name].update(self.extractor.logits(rows[FEATURES].to(self.device)).cpu())

    def values(self) -> dict[str, float]:
        """Score the shares of all ranks by kind, one metric at a time: each gathers a copy of all that it needs."""
        found: dict[str, float] = {}
        for spec in self.specs:
            result = self.metrics.pop(spec.name).to(self.device).compute()
            values = result if isinstance(result, tuple) else (result,)
            found |= {kind: float(value) for kind, value in zip(spec.kinds, values, strict=False)}
        return {kind: found[kind] for kind in self.kinds}


def recorded(specs: Sequence[MetricSpec], count: int) -> dict[str, Any]:
    """What the formulas were told, for the record; `count` as for `Scores`."""
    found: dict[str, Any] = {}
    for metric in [spec.metric.for_sets(count, 0) for spec in specs]:
        found |= {name: getattr(metric, attribute) for name, attribute in metric.recorded.items()}
    return found


def name_of(kind: str, extractor: FeatureExtractor, counts: Counts = "") -> str:
    """Name under which a number of images is reported, if they are as many as `counts` says."""
    return reported_name(kind, None) if spec_of(kind).source == HIDDEN else extractor.metric_name(kind, counts)


def check_counts(kinds: Sequence[str], extractor: FeatureExtractor, num_real: int, num_fake: int) -> None:
    """Refuse numbers of images that a metric cannot work with, before any image is made; warn of biased numbers.

    Raises:
        ValueError: too few images.
    """
    for kind in kinds:
        spec = spec_of(kind)
        for name, count in (("generated", num_fake), ("real", num_real)):
            if count < spec.least and not (name == "real" and spec.source == "logits"):
                raise ValueError(
                    f"{count} {name} images are too few for {name_of(kind, extractor)}: it needs {spec.least} or more. "
                    f"Take more images or leave that metric out."
                )
            fits_covariance = issubclass(spec.metric, FrechetDistance) and spec.source == FEATURES
            if fits_covariance and count < extractor.dim and rank() == 0:
                logger.warning(
                    "%d %s images are fewer than the %d dimensions of %s: their covariance is singular and %s is "
                    "biased upward. Compare it only with numbers from the same counts.",
                    count, name, extractor.dim, extractor.name, name_of(kind, extractor),
                )  # fmt: skip
