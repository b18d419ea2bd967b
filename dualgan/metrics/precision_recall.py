"""Precision and recall."""

from typing import Any, ClassVar

from torch import Tensor

from dualgan.metrics.base import FeatureMetric
from dualgan.metrics.functional import precision_recall
from dualgan.metrics.table import Few, MetricSpec, Number, register


class PrecisionRecall(FeatureMetric):
    """Precision and recall, float64 scalars in [0, 1]; see `functional.precision_recall`.

    Args:
        k: neighbour that sets a ball's radius.
        kwargs: of `FeatureMetric`.
    """

    higher_is_better = True
    recorded: ClassVar = {"precision_recall_k": "k"}

    def __init__(self, k: int = 3, **kwargs: Any) -> None:
        """Start with no features."""
        super().__init__(**kwargs)
        self.k = k

    def score(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the formula to features [N, d] and [M, d]."""
        return precision_recall(real, fake, self.k)


# Kynkaanniemi et al., NeurIPS 2019, and StyleGAN2: features of VGG16
NUMBERS = Number("precision", network="vgg16"), Number("recall", network="vgg16")
FEW = Few(5000, "balls around few images say little of where the others lie; the field takes 50,000")
register(MetricSpec("pr", "precision and recall", NUMBERS, PrecisionRecall, FEW, least=4))
