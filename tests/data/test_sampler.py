from itertools import chain, islice

import numpy as np
import pytest

from dualgan.data.sampler import InfiniteBatchSampler, epoch_permutation


def batches(count: int, sampler: InfiniteBatchSampler) -> list[list[int]]:
    return list(islice(sampler, count))


def test_each_image_comes_once_per_epoch() -> None:
    order = list(chain(*batches(5, InfiniteBatchSampler(size=10, batch_size=4))))
    assert sorted(order[:10]) == list(range(10))
    assert sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


@pytest.mark.parametrize("seen", [1, 2, 5])
def test_resumed_sampler_continues_the_same_order(seen: int) -> None:
    whole = batches(8, InfiniteBatchSampler(size=10, batch_size=4, seed=3))
    resumed = batches(8 - seen, InfiniteBatchSampler(size=10, batch_size=4, seed=3, images_seen=4 * seen))
    assert resumed == whole[seen:]


def test_ranks_take_turns_in_the_global_batch() -> None:
    whole = batches(6, InfiniteBatchSampler(size=10, batch_size=8, seed=1, images_seen=24))
    ranks = [batches(6, InfiniteBatchSampler(10, 4, 1, images_seen=24, rank=rank, world_size=2)) for rank in (0, 1)]
    assert ranks[0] == [batch[0::2] for batch in whole]
    assert ranks[1] == [batch[1::2] for batch in whole]


def test_seeds_have_different_orders() -> None:
    assert not np.array_equal(epoch_permutation(0, 0, 100), epoch_permutation(1, 0, 100))


def test_order_never_changes() -> None:
    assert epoch_permutation(0, 0, 8).tolist() == [0, 3, 7, 5, 1, 2, 6, 4]
