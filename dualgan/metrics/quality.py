"""Metrics that collect features over batches and ranks and hand them to `functional`."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from dualgan.metrics.functional import density_coverage, frechet_distance, kernel_distance, precision_recall


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
