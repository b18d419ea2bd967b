"""Frechet distance (FID)."""

from typing import Any

from torch import Tensor

from dualgan.metrics.base import FeatureMetric, nothing_to_score
from dualgan.metrics.moments import Moments, frechet_from_moments
from dualgan.metrics.table import Few, MetricSpec, Number, register


class FrechetDistance(FeatureMetric):
    """Frechet distance, a float64 scalar; see `functional.frechet_distance`. It is FID on Inception features only.

    Memory does not grow with the number of rows: mean and covariance are all that is kept of them, on the CPU.

    Args:
        kwargs: of `FeatureMetric`.
    """

    higher_is_better: bool | None = False

    def __init__(self, **kwargs: Any) -> None:
        """Start with no features."""
        super().__init__(**kwargs)
        self._moments = {True: Moments(), False: Moments()}

    def update(self, features: Tensor, real: bool) -> None:
        """Add features [N, d] to the real or to the generated set; they must be finite.

        Raises:
            ValueError: features that are not a matrix.
        """
        self.check(features)
        self._moments[real].update(features)

    def reset(self) -> None:
        """Forget the generated features, and the real ones only with `reset_real_features`."""
        super().reset()
        self._moments = {True: Moments() if self.reset_real_features else self._moments[True], False: Moments()}

    def compute(self) -> Tensor:
        """Score all features of all ranks.

        Raises:
            ValueError: a set has fewer than two rows.
        """
        real, fake = (self._moments[side].over_ranks() for side in (True, False))
        for name, moments in (("real", real), ("generated", fake)):
            if moments.count == 0:
                raise nothing_to_score(name)
        return frechet_from_moments(real, fake)


FEW = Few(
    0, "the covariance of fewer images than features is singular, and the bias falls only with 1/N", as_dimensions=True
)
NUMBER = Number("frechet", "fid", "fd", counted=True)
register(MetricSpec("fid", "Frechet distance", (NUMBER,), FrechetDistance, FEW, usual=True))
