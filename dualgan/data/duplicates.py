"""Which images of a set are the same, and which are nearly."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

GRID = 12
"""Cells each way by whose mean colours images are compared."""

_GROUND = 8  # levels of 255 by which cells of one ground differ
_CONTRAST = 0.5  # of a figure with its ground, from 0 to 1

_DIMENSIONS = 12  # in which candidates are looked for
_SAMPLE = 20_000  # images that tell which dimensions these are
_CHUNK, _MANY_PAIRS = 2**11, 2**22  # images, and pairs, that are looked at together

Thumbnails = NDArray[np.uint8]  # [N, GRID * GRID, 3]


def equal_groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """Indices that share a key, in groups of two and more."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def thumbnail(image: Image.Image) -> Thumbnails:
    """Mean colours [GRID * GRID, 3] of an image."""
    return np.asarray(image.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX)).reshape(-1, 3)


def distances(first: Thumbnails, others: Thumbnails) -> NDArray[np.float64]:
    """How far images [N, cells, 3] are from one [cells, 3], as part of the way from black to white.

    It is the root mean square of all differences, or a quarter of that within the most different cell if that is
    more: a small thing that is another makes another image. Where most of the first image is ground of one colour, such
    as the sheet around a letter, what both have of that ground does not count, and what stands out from it faintly
    counts as if it did by half of the way.
    """
    squares = ((first.astype(np.float32) - others) / 255).astype(np.float64) ** 2
    cells = squares.mean(-1)
    seen, contrast = _figure(first, others)
    means = (cells * seen).sum(-1) / seen.sum(-1)
    farther: NDArray[np.float64] = np.maximum(np.sqrt(means), np.sqrt(cells.max(-1)) / 4)
    return farther * max(1.0, _CONTRAST / contrast)


def _figure(first: Thumbnails, others: Thumbnails) -> tuple[NDArray[np.bool_], float]:
    """Cells [N, cells] in which the first or the other image is no ground, and how far the first stands out from it.

    All cells, and 1, where there is no ground, or nothing on it.
    """
    ground = np.median(first, axis=0)
    own = (np.abs(first - ground) > _GROUND).any(-1)
    if not 0 < own.mean() <= 0.5:
        return np.ones(others.shape[:2], bool), 1.0
    seen: NDArray[np.bool_] = own | (np.abs(others - ground) > _GROUND).any(-1)
    return seen, float(np.sqrt((((first[own] - ground) / 255) ** 2).mean()))


def near_groups(thumbnails: Thumbnails, distance: float) -> list[list[int]]:
    """Indices of images that are near the first of their group, in groups of two and more.

    In the order of the images, each that is in no group yet begins one and takes all others of no group that are at
    most `distance` away. Links do not chain: nothing is further from the first of its group.
    """
    taken = np.zeros(len(thumbnails), bool)
    groups = []
    for index, candidates in _candidates(thumbnails, distance, taken):
        others = candidates[(candidates > index) & ~taken[candidates]]
        near = others[distances(thumbnails[index], thumbnails[others]) <= distance]
        if len(near):
            taken[near] = True
            groups.append([index, *np.sort(near).tolist()])
    return groups


def _candidates(
    thumbnails: Thumbnails, distance: float, taken: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each image that is not taken when its turn comes, in order, with those that may be near it.

    They are looked for by a few coordinates of the colours: in these nothing is further away than in all of them.
    """
    if len(thumbnails) < 2:
        return
    points = _coordinates(thumbnails)
    tree = cKDTree(points)
    reach = distance * (1 + 1e-4) + 1e-5  # of rounding
    start = 0
    while start < len(points):
        block = start + np.flatnonzero(~taken[start : start + _CHUNK])
        counts = tree.query_ball_point(points[block], reach, return_length=True)
        fitting = max(1, int(np.searchsorted(np.cumsum(counts), _MANY_PAIRS)))
        for index in block[:fitting][counts[:fitting] > 1].tolist():
            if not taken[index]:
                yield index, np.array(tree.query_ball_point(points[index], reach), np.int64)
        start = int(block[fitting]) if fitting < len(block) else start + _CHUNK


def _coordinates(thumbnails: Thumbnails) -> NDArray[np.float32]:
    """Principal components [N, _DIMENSIONS] of the colours, in units of `distances`."""
    flat = thumbnails.reshape(len(thumbnails), -1)
    scale = 255 * flat.shape[1] ** 0.5
    sample = flat[:: -(-len(flat) // _SAMPLE)].astype(np.float64)
    _, vectors = np.linalg.eigh(np.cov(sample, rowvar=False))
    axes = (vectors[:, -_DIMENSIONS:] / scale).astype(np.float32)
    return np.concatenate([flat[start : start + _CHUNK] @ axes for start in range(0, len(flat), _CHUNK)])
