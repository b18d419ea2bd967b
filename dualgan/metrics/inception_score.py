"""Inception score."""

from typing import Any, ClassVar

from torch import Tensor

from dualgan.metrics.base import SampleMetric
from dualgan.metrics.functional import inception_score
from dualgan.metrics.table import Few, MetricSpec, Number, register


class InceptionScore(SampleMetric):
    """Mean and standard deviation over splits, float64 scalars; see `functional.inception_score`.

    Args:
        splits: number of parts that are scored on their own.
        kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = True
    recorded: ClassVar = {"inception_score_splits": "splits"}
    _form, _source = ("images", "classes"), "a classifier's logits, such as those of an extractor"

    def __init__(self, splits: int = 10, **kwargs: Any) -> None:
        """Start with no logits."""
        super().__init__(**kwargs)
        self.splits = splits

    def score(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the formula to logits [N, C]."""
        return inception_score(values, self.splits)


FEW = Few(5000, "it rises with their number until each of 10 splits shows all classes; the field takes 50,000")
NUMBER = Number("inception_score", "is")
register(MetricSpec("is", "inception score", (NUMBER,), InceptionScore, FEW, "logits", least=10))
