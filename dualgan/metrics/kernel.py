"""Kernel distance (KID)."""

from typing import Any, ClassVar, Self

from torch import Tensor

from dualgan.metrics.base import FeatureMetric
from dualgan.metrics.functional import kernel_distance
from dualgan.metrics.table import Few, MetricSpec, Number, register


class KernelDistance(FeatureMetric):
    """Kernel distance, a float64 scalar; see `functional.kernel_distance`. It is KID on Inception features only.

    Args:
        subset_size: rows per subset and side; None takes all rows once.
        num_subsets: number of random subsets whose estimates are averaged.
        seed: of the subsets.
        kwargs: of `FeatureMetric`.
    """

    higher_is_better = False
    recorded: ClassVar = {"kernel_subset_size": "subset_size", "kernel_num_subsets": "num_subsets"}

    def __init__(self, subset_size: int | None = None, num_subsets: int = 100, seed: int = 0, **kwargs: Any) -> None:
        """Start with no features."""
        super().__init__(**kwargs)
        self.subset_size, self.num_subsets, self.seed = subset_size, num_subsets, seed

    @classmethod
    def for_sets(cls, count: int, seed: int) -> Self:
        """The field's subsets, or the whole sets where they are smaller."""
        return cls(min(1000, count), 100, seed)

    def score(self, real: Tensor, fake: Tensor) -> Tensor:
        """Apply the formula to features [N, d] and [M, d]."""
        return kernel_distance(real, fake, self.subset_size, self.num_subsets, self.seed)


NUMBER = Number("kernel", "kid", "kd", counted=True)
# the size of the field's subsets: Binkowski et al., ICLR 2018
FEW = Few(1000, "estimates scatter as widely as generators differ, also below 0")
register(MetricSpec("kid", "kernel distance", (NUMBER,), KernelDistance, FEW, usual=True))
