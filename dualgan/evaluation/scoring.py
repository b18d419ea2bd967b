"""From features to scores: the metric objects of one evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from dualgan.evaluation.features import Rows, View
from dualgan.metrics import FeatureExtractor
from dualgan.metrics.table import Counts, MetricSpec, check_least, reported_name, spec_of, specs_of

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
    """Refuse numbers of images that a metric cannot work with, before any image is made.

    Raises:
        ValueError: too few images.
    """
    check_least({kind: name_of(kind, extractor) for kind in kinds}, num_fake, num_real)


def notes_on(names: Mapping[str, str], num_fake: int, num_real: int, widths: Mapping[str, int]) -> dict[str, str]:
    """What to know of numbers that mean little, by their reported names.

    Args:
        names: reported names by kind.
        num_fake: generated images, or paths.
        num_real: real images.
        widths: dimensions of the features by source.
    """
    cautions = {kind: spec_of(kind).caution(num_fake, num_real, widths.get(spec_of(kind).source, 0)) for kind in names}
    return {names[kind]: caution for kind, caution in cautions.items() if caution is not None}
