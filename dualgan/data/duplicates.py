"""Which images of a set are the same, and which are nearly."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64

_MANY_PAIRS = 2**22  # from here on only what they connect is kept


def equal_groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """Indices that share a key, in groups of two and more."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_groups(hashes: NDArray[np.uint64], distance: int) -> list[list[int]]:
    """Indices linked by hashes that differ in at most `distance` bits, in groups of two and more.

    Links chain: two members of one group may be further apart than `distance`.

    Args:
        hashes: Perceptual hashes [N] of 64 bits.
        distance: Hamming distance, from 0 to 63.
    """
    distinct, which = np.unique(hashes, return_inverse=True)
    return equal_groups(_components(len(distinct), _pairs(distinct, distance))[which].tolist())


def hamming(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Number of bits [...] in which hashes [...] differ."""
    different: NDArray[np.uint8] = np.bitwise_count(first ^ second)
    return different


def _components(size: int, chunks: Iterator[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Number of the connected component of every node [size], from edges in chunks [2, E]."""
    kept, count = [np.empty((2, 0), np.int64)], 0
    for chunk in chunks:
        kept.append(chunk)
        count += chunk.shape[1]
        if count > _MANY_PAIRS:
            _, root, component = np.unique(_connect(size, kept), return_index=True, return_inverse=True)
            kept, count = [np.stack([np.arange(size), root[component]])], 0
    return _connect(size, kept)


def _connect(size: int, edges: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    first, second = np.concatenate(edges, axis=1)
    links = coo_array((np.ones(len(first), bool), (first, second)), (size, size))
    component: NDArray[np.int64] = connected_components(links, directed=False)[1]
    return component


def _pairs(hashes: NDArray[np.uint64], distance: int) -> Iterator[NDArray[np.int64]]:
    """Pairs of indices of distinct hashes within a distance, in chunks [2, E]; pairs may repeat.

    Bits are cut into distance + 1 bands: hashes that differ in at most `distance` bits are equal in one of them, so
    only those that share a band are compared.
    """
    starts = [HASH_BITS * band // (distance + 1) for band in range(distance + 2)]
    for start, end in pairwise(starts):
        band = (hashes >> np.uint64(start)) & np.uint64(2 ** (end - start) - 1)
        order = np.argsort(band, kind="stable")
        for near in _neighbours(hashes[order], band[order], distance):
            yield order[near]


def _neighbours(hashes: NDArray[np.uint64], band: NDArray[np.uint64], distance: int) -> Iterator[NDArray[np.int64]]:
    """Compare each hash with those 1, 2, ... places after it, as long as any of them shares its band."""
    here, offset = np.arange(len(hashes)), 0
    while len(here):
        offset += 1
        here = here[here + offset < len(hashes)]
        here = here[band[here] == band[here + offset]]  # sorted: who has lost its band does not find it again
        near = here[hamming(hashes[here], hashes[here + offset]) <= distance]
        yield np.stack([near, near + offset])
