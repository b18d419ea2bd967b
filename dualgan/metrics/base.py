"""What metrics have in common: they collect values over batches and ranks and hand them to a formula."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torchmetrics import Metric


class SetMetric(Metric):
    """Base of all metrics, which score whole sets."""

    is_differentiable = False
    full_state_update = False
    recorded: ClassVar[Mapping[str, str]] = {}
    """What is kept of the settings beside the numbers: its name there, and the attribute."""

    @classmethod
    def for_sets(cls, count: int, seed: int) -> Self:
        """With the field's settings, for the number of images of the smaller set and an evaluation's seed."""
        return cls()


class FeatureMetric(SetMetric):
    """Base of the metrics that compare a set of generated features with a set of real ones.

    `update(features, real)` takes [N, d] on any device, N may be 0; `compute()` concatenates the shards of all ranks
    in rank order, uneven ones included. Every rank must have called `update` for both sets (with N = 0 if it has no
    row). Features are no part of a `state_dict`.

    Args:
        reset_real_features: whether `reset()` forgets the real features too. By default they are fed once and stay.
        kwargs: of `torchmetrics.Metric`.
    """

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
        self.check(features)
        chunks = self.real_features if real else self.fake_features
        assert isinstance(chunks, list), "the states are lists outside of compute()"
        chunks.append(features.detach().to(self.device))

    @staticmethod
    def check(features: Tensor) -> None:
        """Raise a ValueError for features that are not a matrix."""
        if features.ndim != 2:
            raise ValueError(
                f"features have shape {tuple(features.shape)}: expected [rows, dimensions]. "
                "Pass the output of a feature extractor, not images."
            )

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

    def score(self, real: Tensor, fake: Tensor) -> Any:
        """Apply the formula to features [N, d] and [M, d]."""
        raise NotImplementedError


class SampleMetric(SetMetric):
    """Base of the metrics that need generated images only.

    `update(values)` takes one row per image on any device, N may be 0; `compute()` concatenates the shards of all
    ranks in rank order, uneven ones included. Every rank must have called `update` (with N = 0 if it has no row).
    Values are no part of a `state_dict`.

    Args:
        kwargs: of `torchmetrics.Metric`.
    """

    values: list[Tensor] | Tensor
    _form: ClassVar[tuple[str, ...]] = ("N", "d")
    _source: ClassVar[str] = "a row for each image"

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


def _joined(features: list[Tensor] | Tensor, name: str) -> Tensor:
    # a list on one process, a tensor once torchmetrics has gathered the ranks
    if isinstance(features, Tensor):
        return features
    if not features:
        raise nothing_to_score(name)
    return torch.cat(features)


def nothing_to_score(name: str) -> ValueError:
    """What to raise where a set, "real" or "generated", is empty."""
    return ValueError(
        f"there are no {name} features to score: both sets are needed. "
        f"Call update(features, real={name == 'real'}) before compute()."
    )
