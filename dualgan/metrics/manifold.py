"""Which rows of one set lie in the balls around another's: exact answers at the speed of float32 products.

Products in float32 decide all comparisons that their rounding cannot turn. The few others are made again from
differences in float64, in which equal distances compare as equal. Only sets in which nearly all is undecided, such as
thousands of copies of one image, are left to products in float64.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dualgan.metrics.blocks import row_blocks

_SPARE = 4  # neighbours beyond the k-th that are measured again
_UNDECIDED = 0.01  # share of a block above which measuring pairs again costs more than a float64 product


class Points:
    """Rows [N, d] in float64, and a rounded copy around an origin for products.

    Args:
        features: float64 [N, d].
        origin: float64 [d], near the rows: products of small numbers round less.
        dtype: of the copy.
    """

    def __init__(self, features: Tensor, origin: Tensor, dtype: torch.dtype) -> None:
        self.exact, self.origin, self.dtype = features, origin, dtype
        self.rounded = (features - origin).to(dtype)
        self.squares = self.rounded.square().sum(dim=1)

    def __len__(self) -> int:
        return len(self.exact)

    def in_float64(self, rows: slice | Tensor = slice(None)) -> "Points":
        """The same rows, or some of them, with products in float64."""
        return Points(self.exact[rows], self.origin, torch.float64)


def product_dtype() -> torch.dtype:
    """Type of the products: float32, unless torch may round its factors further (TF32, bfloat16)."""
    return torch.float32 if torch.get_float32_matmul_precision() == "highest" else torch.float64


def neighbour_radii(points: Points, k: int) -> Tensor:
    """Squared distance of every row [N] to its k-th nearest other row: rank k + 1, for rank 1 is the row itself."""
    radii = points.exact.new_empty(len(points))
    for rows, squares, slack in _blocks(points, points):
        radii[rows], undecided = _radii(points, points, rows, squares, slack, k)
        if undecided.any() and points.dtype != torch.float64:
            again = torch.arange(len(points), device=radii.device)[rows][undecided]
            radii[again] = _radii_in_float64(points, again, k)
    return radii


def closeness(x: Points, y: Points, *radii: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
    """For blocks of x's rows, whether their squared distances to all of y lie below squared radii.

    Args:
        x: N rows.
        y: M rows.
        radii: float64, each [N, 1] or [1, M].

    Yields:
        The rows of a block, and for each of the radii a matrix of bool [rows, M].
    """
    for rows, squares, slack in _blocks(x, y):
        yield rows, [_below(x, y, rows, squares, slack, r[rows] if r.shape[1] == 1 else r) for r in radii]


def _blocks(x: Points, y: Points) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rounded squared distances [rows, M] of blocks of x's rows, and [rows, 1] by how much they may be wrong."""
    unit, dims = torch.finfo(x.dtype).eps / 2, x.exact.shape[1]
    largest = torch.maximum(x.squares.max(), y.squares.max())
    for rows in row_blocks(len(x), len(y)):
        squares = torch.addmm(y.squares, x.rounded[rows], y.rounded.T, alpha=-2).add_(x.squares[rows, None])
        # a sum of d products is off by d units of |x| |y| at most; the rest is for sums of squares and single roundings
        yield rows, squares, (2 * dims + 32) * unit * (x.squares[rows, None] + largest)


def _radii(x: Points, y: Points, rows: slice, squares: Tensor, slack: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Squared radii of some of x's rows among y, and for which of them a row that was not measured may be nearer."""
    count = min(k + 1 + _SPARE, len(y))
    nearest = squares.topk(count, dim=1, largest=False)
    i = torch.arange(len(squares), device=squares.device).repeat_interleave(count)
    distances = _measured(x.exact[rows], y.exact, i, nearest.indices.flatten()).view(-1, count)
    radii = distances.kthvalue(k + 1, dim=1).values
    undecided = nearest.values[:, -1].double() - slack[:, 0].double() < radii
    return radii, undecided & (count < len(y))


def _radii_in_float64(points: Points, rows: Tensor, k: int) -> Tensor:
    some, everything = points.in_float64(rows), points.in_float64()
    # what is undecided even now has rows nearer to each other than float64 can tell
    return torch.cat([_radii(some, everything, *block, k)[0] for block in _blocks(some, everything)])


def _measured(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Squared distances [n] of rows i of x to rows j of y, from differences."""
    parts = [_difference(x[i[part]], y[j[part]]) for part in row_blocks(len(i), 64 * x.shape[1])]
    return torch.cat([x.new_empty(0), *parts])


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return a.sub_(b).square_().sum(dim=1)


def _below(x: Points, y: Points, rows: slice, squares: Tensor, slack: Tensor, limits: Tensor) -> Tensor:
    margin = squares - limits.to(squares.dtype)
    below = margin < 0
    undecided = margin.abs_() <= slack
    count = int(undecided.count_nonzero())
    if count > _UNDECIDED * undecided.numel():
        return _below_in_float64(x.exact[rows], y.exact, limits)
    i, j = undecided.nonzero().unbind(1)
    below[i, j] = _measured(x.exact[rows], y.exact, i, j) < limits.expand(below.shape)[i, j]
    return below


def _below_in_float64(x: Tensor, y: Tensor, limits: Tensor) -> Tensor:
    scale = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    squares = scale - 2 * x @ y.T  # not around the origin: whole numbers stay whole
    # the product's rounding must not part identical rows
    return squares.masked_fill_(squares <= 1e-13 * scale, 0) < limits
