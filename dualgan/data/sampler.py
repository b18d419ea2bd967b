"""The order of training images: a pure function of (seed, images seen, rank), so any run can be continued exactly."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


def epoch_permutation(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """Order [size] of all images in one epoch."""
    # Raw Philox words and not Generator.permutation: NumPy may change the latter's streams between versions.
    words = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(size)
    return np.argsort(words, kind="stable")


class InfiniteBatchSampler(Sampler[list[int]]):
    """Endless batches of indices: position p of the run is image permutation(seed, p // size)[p % size].

    The global batch that starts at `images_seen` = S covers positions S .. S + R*b - 1 and rank r of R gets
    S + r, S + r + R, ..., so together the ranks see what one process would. It has no length: Lightning treats the
    loader as infinite. Use it with `Trainer(use_distributed_sampler=False)`: otherwise Lightning tries to rebuild it
    with a distributed sampler of its own, which has another order.

    Args:
        size: Number of indices in an epoch.
        batch_size: Images per batch of this rank.
        seed: Seed of the order, not negative.
        images_seen: Position at which to start.
        rank: Rank of this process.
        world_size: Number of processes.
    """

    def __init__(
        self, size: int, batch_size: int, seed: int = 0, images_seen: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        assert 0 < size < 2**32
        assert batch_size > 0
        assert 0 <= rank < world_size
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.images_seen, self.rank, self.world_size = images_seen, rank, world_size

    def __iter__(self) -> Iterator[list[int]]:
        """Yield lists of `batch_size` indices for ever, from `images_seen` on."""
        epoch, order = -1, np.empty(0, np.uint32)
        start = self.images_seen
        while True:
            batch = []
            for position in range(start + self.rank, start + self.world_size * self.batch_size, self.world_size):
                if position // self.size != epoch:
                    epoch = position // self.size
                    # Half the memory: an epoch may have millions of images.
                    order = epoch_permutation(self.seed, epoch, self.size).astype(np.uint32)
                batch.append(int(order[position % self.size]))
            yield batch
            start += self.world_size * self.batch_size


class ReferenceBatchSampler(Sampler[list[int]]):
    """Batches of primary indices followed by as many reference indices.

    Args:
        primaries: Batches of primary indices.
        references: Batches of reference indices of the same sizes, in an order of their own.
    """

    def __init__(self, primaries: Iterable[list[int]], references: Iterable[list[int]]) -> None:
        self.primaries, self.references = primaries, references

    def __iter__(self) -> Iterator[list[int]]:
        """Yield lists of twice as many indices, as long as there are primary ones."""
        for primary, reference in zip(self.primaries, self.references, strict=False):
            yield primary + reference
