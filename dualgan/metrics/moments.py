"""Mean and covariance of more rows than fit into memory, at the full precision of the data."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dualgan.runtime.distributed import world_size

_ROWS_PER_DIMENSION = 8  # that are collected between factorisations


class Moments:
    """Mean and covariance of rows that come in parts. It holds at most about 9 d rows of d numbers.

    The scatter matrix S (sum of the centered rows' outer products) is kept as a factor F with F^T F = S: triangular
    factors keep the precision that forming S would square away. Few rows are kept as they are.

    Attributes:
        count: number of rows so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._folded = 0
        self._mean = torch.zeros(0, dtype=torch.float64)
        self._factor = torch.zeros(0, 0, dtype=torch.float64)
        self._waiting: list[Tensor] = []

    @classmethod
    def of(cls, rows: Tensor) -> "Moments":
        """Moments of rows [n, d]."""
        moments = cls()
        for block in torch.split(rows, _ROWS_PER_DIMENSION * rows.shape[1]):
            moments.update(block)
        return moments

    def update(self, rows: Tensor) -> None:
        """Add rows [n, d], which must be finite."""
        self.count += len(rows)
        self._waiting.append(rows.detach().cpu().double())
        if sum(map(len, self._waiting)) > _ROWS_PER_DIMENSION * rows.shape[1]:
            self.compact()

    def merge(self, others: Sequence["Moments"]) -> None:
        """Add the rows that others have seen, in their order."""
        self.compact()
        for other in others:
            other.compact()
            self._fold(other._folded, other._mean, other._factor)
            self.count += other.count

    @property
    def mean(self) -> Tensor:
        """Mean row, float64 [d]."""
        self.compact()
        return self._mean

    @property
    def root(self) -> Tensor:
        """A, float64 [k, d], with A^T A = the unbiased covariance; of no more than d rows, or one per row seen."""
        self.compact()
        root: Tensor = self._factor / max(self.count - 1, 1) ** 0.5
        return root

    def over_ranks(self) -> "Moments":
        """Moments of the rows of all ranks, in rank order; every rank must call it."""
        if world_size() == 1:
            return self
        parts: list[Any] = [None] * world_size()
        self.compact()
        dist.all_gather_object(parts, self)
        whole = Moments()
        whole.merge(parts)
        return whole

    def compact(self) -> None:
        """Turn rows that wait into moments."""
        if self._waiting:
            rows, self._waiting = torch.cat(self._waiting), []
            self._fold(len(rows), rows.mean(0), rows - rows.mean(0))

    def _fold(self, count: int, mean: Tensor, factor: Tensor) -> None:
        """Chan et al. 1979: S = S_1 + S_2 + (n m / (n + m)) (mean_1 - mean_2)^2, for factors: one more row."""
        if count == 0:
            return
        if self._folded == 0:
            self._mean, parts = mean, [factor]
        else:
            total = self._folded + count
            step = (mean - self._mean) * (self._folded * count / total) ** 0.5
            self._mean = self._mean + (mean - self._mean) * (count / total)
            parts = [self._factor, factor, step[None]]
        self._folded += count
        self._factor = torch.cat(parts)
        if len(self._factor) > self._factor.shape[1]:
            self._factor = torch.linalg.qr(self._factor, mode="r").R


def frechet_from_moments(real: Moments, fake: Moments) -> Tensor:
    """Frechet distance between two sets of rows, a float64 scalar; see `functional.frechet_distance`.

    Raises:
        ValueError: fewer than two rows.
    """
    for name, moments in (("real", real), ("generated", fake)):
        if moments.count < 2:
            raise ValueError(f"{moments.count} {name} rows have no covariance: evaluate at least 2 images.")
    # tr (Sigma_1 Sigma_2)^(1/2) = ||A_1 A_2^T||_* for any A_k with A_k^T A_k = Sigma_k
    cross = torch.linalg.svdvals(fake.root @ real.root.T).sum()
    # Eq. 6: |m_1 - m_2|^2 + tr(Sigma_1 + Sigma_2 - 2 (Sigma_1 Sigma_2)^(1/2))
    distance: Tensor = (
        (real.mean - fake.mean).square().sum() + real.root.square().sum() + fake.root.square().sum() - 2 * cross
    )
    return distance.clamp(min=0)  # rounding can leave -1e-13
