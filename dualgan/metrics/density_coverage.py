"""Density and coverage."""

from typing import Any, ClassVar

from torch import Tensor

from dualgan.metrics.base import FeatureMetric
from dualgan.metrics.functional import density_coverage
from dualgan.metrics.table import Few, MetricSpec, Number, register


class DensityCoverage(FeatureMetric):
    """Density (0 or more) and coverage ([0, 1]), float64 scalars; see `functional.density_coverage`.

    Args:
        k: neighbour that sets a ball's radius.
        kwargs: of `FeatureMetric`.
    """

    higher_is_better = True
    recorded: ClassVar = {"density_coverage_k": "k"}

    def __init__(self, k: int = 5, **kwargs: Any) -> None:
        """Start with no features."""
        super().__init__(**kwargs)
        self.k = k

    def score(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the formula to features [N, d] and [M, d]."""
        return density_coverage(real, fake, self.k)


# Naeem et al., ICML 2020: features of VGG16
NUMBERS = Number("density", network="vgg16"), Number("coverage", network="vgg16")
FEW = Few(5000, "balls around few images say little of where the others lie; the paper takes 10,000")
register(MetricSpec("dc", "density and coverage", NUMBERS, DensityCoverage, FEW, least=6))
