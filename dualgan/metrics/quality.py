"""Metrics that collect features over batches and ranks and hand them to `functional`."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from dualgan.metrics.functional import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)
from dualgan.metrics.ppl import perceptual_path_length


class FeatureMetric(Metric):
    """Base of the metrics that compare a set of generated features with a set of real ones.

    `update(features, real)` takes [N, d] on any device, N may be 0; `compute()` concatenates the shards of all ranks
    in rank order, uneven ones included. Every rank must have called `update` for both sets (with N = 0 if it has no
    row). Features are no part of a `state_dict`.

    Args:
        reset_real_features: whether `reset()` forgets the real features too. By default they are fed once and stay.
        kwargs: of `torchmetrics.Metric`.
    """

    is_differentiable = False
    full_state_update = False
    real_features: list[Tensor] | Tensor
    fake_features: list[Tensor] | Tensor

    def __init__(self, reset_real_features: bool = False, **kwargs: Any) -> None:
        """Start with no features."""
        super().__init__(**kwargs)
        self.reset_real_features = reset_real_features
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("fake_features", [], dist_reduce_fx="cat")

    def update(self, features: Tensor, real: bool) -> None:
        """Add features [N, d] to the real or to the generated set.

        Raises:
            ValueError: features that are not a matrix.
        """
        if features.ndim != 2:
            raise ValueError(
                f"features have shape {tuple(features.shape)}: expected [rows, dimensions]. "
                "Pass the output of a feature extractor, not images."
            )
        chunks = self.real_features if real else self.fake_features
        assert isinstance(chunks, list), "the states are lists outside of compute()"
        chunks.append(features.detach().to(self.device))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to score a single batch, which is what a call of a torchmetrics metric does.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"{type(self).__name__} compares whole sets: feed it with update(features, real) and score with compute()"
        )

    def reset(self) -> None:
        """Forget the generated features, and the real ones only with `reset_real_features`."""
        kept = list(self.real_features)
        super().reset()
        if not self.reset_real_features:
            self.real_features = kept

    def compute(self) -> Any:
        """Score all features of all ranks.

        Raises:
            ValueError: a set is empty, or does not suit the formula (see `dualgan.metrics.functional`).
        """
        return self.score(_joined(self.real_features, "real"), _joined(self.fake_features, "generated"))

    @abstractmethod
    def score(self, real: Tensor, fake: Tensor) -> Any:
        """Apply the formula to features [N, d] and [M, d]."""


class FrechetDistance(FeatureMetric):
    """Frechet distance, a float64 scalar; see `functional.frechet_distance`. It is FID on Inception features only."""

    higher_is_better = False

    def score(self, real: Tensor, fake: Tensor) -> Tensor:
        """Apply the formula to features [N, d] and [M, d]."""
        return frechet_distance(real, fake)


class KernelDistance(FeatureMetric):
    """Kernel distance, a float64 scalar; see `functional.kernel_distance`. It is KID on Inception features only.

    Args:
        subset_size: rows per subset and side; None takes all rows once.
        num_subsets: number of random subsets whose estimates are averaged.
        seed: of the subsets.
        reset_real_features: whether `reset()` forgets the real features too.
        kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = False

    def __init__(
        self,
        subset_size: int | None = None,
        num_subsets: int = 100,
        seed: int = 0,
        reset_real_features: bool = False,
        **kwargs: Any,
    ) -> None:
        """Start with no features."""
        super().__init__(reset_real_features, **kwargs)
        self.subset_size, self.num_subsets, self.seed = subset_size, num_subsets, seed

    def score(self, real: Tensor, fake: Tensor) -> Tensor:
        """Apply the formula to features [N, d] and [M, d]."""
        return kernel_distance(real, fake, self.subset_size, self.num_subsets, self.seed)


class PrecisionRecall(FeatureMetric):
    """Precision and recall, float64 scalars in [0, 1]; see `functional.precision_recall`.

    Args:
        k: neighbour that sets a ball's radius.
        reset_real_features: whether `reset()` forgets the real features too.
        kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(self, k: int = 3, reset_real_features: bool = False, **kwargs: Any) -> None:
        """Start with no features."""
        super().__init__(reset_real_features, **kwargs)
        self.k = k

    def score(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the formula to features [N, d] and [M, d]."""
        return precision_recall(real, fake, self.k)


class DensityCoverage(FeatureMetric):
    """Density (0 or more) and coverage ([0, 1]), float64 scalars; see `functional.density_coverage`.

    Args:
        k: neighbour that sets a ball's radius.
        reset_real_features: whether `reset()` forgets the real features too.
        kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(self, k: int = 5, reset_real_features: bool = False, **kwargs: Any) -> None:
        """Start with no features."""
        super().__init__(reset_real_features, **kwargs)
        self.k = k

    def score(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the formula to features [N, d] and [M, d]."""
        return density_coverage(real, fake, self.k)


class SampleMetric(Metric):
    """Base of the metrics that need generated images only.

    `update(values)` takes one row per image on any device, N may be 0; `compute()` concatenates the shards of all
    ranks in rank order, uneven ones included. Every rank must have called `update` (with N = 0 if it has no row).
    Values are no part of a `state_dict`.

    Args:
        kwargs: of `torchmetrics.Metric`.
    """

    is_differentiable = False
    full_state_update = False
    values: list[Tensor] | Tensor
    _form: ClassVar[tuple[str, ...]]
    _source: ClassVar[str]

    def __init__(self, **kwargs: Any) -> None:
        """Start with no values."""
        super().__init__(**kwargs)
        self.add_state("values", [], dist_reduce_fx="cat")

    def update(self, values: Tensor) -> None:
        """Add the values of some images, one row for each.

        Raises:
            ValueError: values of another shape.
        """
        if values.ndim != len(self._form):
            raise ValueError(
                f"{type(self).__name__} was given shape {tuple(values.shape)}: expected [{', '.join(self._form)}]. "
                f"Pass {self._source}."
            )
        assert isinstance(self.values, list), "the state is a list outside of compute()"
        self.values.append(values.detach().to(self.device))

    def compute(self) -> Any:
        """Score all values of all ranks.

        Raises:
            ValueError: there are none, or they do not suit the formula.
        """
        if isinstance(self.values, Tensor):
            return self.score(self.values)
        if not self.values:
            raise ValueError(f"{type(self).__name__} has nothing to score: call update() before compute().")
        return self.score(torch.cat(self.values))

    @abstractmethod
    def score(self, values: Tensor) -> Any:
        """Apply the formula to one row per image."""


class InceptionScore(SampleMetric):
    """Mean and standard deviation over splits, float64 scalars; see `functional.inception_score`.

    Args:
        splits: number of parts that are scored on their own.
        kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = True
    _form, _source = ("images", "classes"), "a classifier's logits, such as those of an extractor"

    def __init__(self, splits: int = 10, **kwargs: Any) -> None:
        """Start with no logits."""
        super().__init__(**kwargs)
        self.splits = splits

    def score(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the formula to logits [N, C]."""
        return inception_score(values, self.splits)


class PerceptualPathLength(SampleMetric):
    """Mean path length without outliers, a float64 scalar; see `ppl.perceptual_path_length`.

    Each rank feeds the `ppl.path_lengths` of its share of the seeds.

    Args:
        kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = False
    _form, _source = ("paths",), "the result of path_lengths"

    def score(self, values: Tensor) -> Tensor:
        """Apply the formula to path lengths [N]."""
        return perceptual_path_length(values)


def _joined(features: list[Tensor] | Tensor, name: str) -> Tensor:
    # a list on one process, a tensor once torchmetrics has gathered the ranks
    if isinstance(features, Tensor):
        return features
    if not features:
        raise ValueError(
            f"there are no {name} features to score: both sets are needed. "
            f"Call update(features, real={name == 'real'}) before compute()."
        )
    return torch.cat(features)
