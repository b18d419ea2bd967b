"""Winograd's fast algorithm for wide 3x3 convolutions on CPUs, from plain matrix products.

A convolution of 4x4 outputs takes 144 multiplications per pair of channels; this algorithm takes 36, as 36 products
of [tiles, channels in] with [channels in, channels out] matrices, between linear transforms of tiles and weight:

    y = A^T [ (G w G^T) . (B^T x B) ] A                     Lavin & Gray, CVPR 2016, Eq. 8, with F(4x4, 3x3)

x is a tile of 6x6 inputs, w a 3x3 weight, `.` the product over channels. Transforms are products, too: of B^T with the
rows of pixels of all tiles and then with their columns, of the Kronecker squares of G and A^T with all pixels at once.
GPUs are left to cuDNN, which has this algorithm itself.

The images of a batch, one below the other, are taken in bands so low that a band's tiles stay in the processor's cache
from step to step.

The three functions are exact adjoints of each other up to rounding. In float32 the relative error is 3e-6 where
direct convolutions have 1e-6.
"""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# N batch, C channels in, D channels out, H W spatial, T tiles of 4x4 outputs

# Lavin & Gray, section 4.3
_G = torch.tensor(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], dtype=torch.float64,
)  # fmt: skip
_G2 = torch.kron(_G, _G).float()  # [36, 9], from both sides
_BT = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]], dtype=torch.float32,
)  # fmt: skip
_AT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float32
)
_A2 = torch.kron(_AT, _AT)  # [16, 36]

# Of a band's transformed inputs: 1 MB stays in a second-level cache. Several threads wait for the last one after each
# step, so that larger steps are faster there.
NUMBERS, NUMBERS_PER_THREAD, MAX_NUMBERS = 2**18, 2**20, 2**22
MIN_TILES = 96


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None = None, slope: float | None = None) -> Tensor:
    """x [N, C, H, W], weight [D, C, 3, 3], bias [D] -> [N, D, H, W], zero padding; with a slope, after a leaky ReLU."""
    return _convolve(x, _weights(weight, _G2).transpose(1, 2), bias, slope)


def input_adjoint(dy: Tensor, weight: Tensor) -> Tensor:
    """dy [N, D, H, W], weight [D, C, 3, 3] -> gradient of the input [N, C, H, W]."""
    # The adjoint is a convolution with the weight turned by 180 degrees, its channels exchanged.
    return _convolve(dy, _weights(weight, _G2.flip(1)))


def weight_adjoint(x: Tensor, dy: Tensor) -> Tensor:
    """x [N, C, H, W], dy [N, D, H, W] -> gradient of the weight [D, C, 3, 3]."""
    c, d = x.shape[1], dy.shape[1]
    x = x.contiguous(memory_format=torch.channels_last)
    pixels = _pixels_of_tiles(dy)
    d_weights = x.new_zeros(36, d, c)
    for bands, (first, second, third) in _bands_with_memory(x, d, pieces=3):
        inputs, some = _Inputs(x, len(bands[0]), first, second), _of_band(pixels, bands[0])
        d_tiles = _view(second, *some.shape)
        d_products = _view(third, 36, some[0, 0].numel())
        for band in bands:
            d_tiles.copy_(_of_band(pixels, band))
            torch.mm(_A2.t(), d_tiles.view(16, -1), out=d_products)
            d_weights.baddbmm_(d_products.view(36, -1, d).transpose(1, 2), inputs.tiles(band))
    dw = torch.mm(_G2.t(), d_weights.view(36, -1)).view(3, 3, d, c)
    return dw.permute(2, 3, 1, 0).contiguous(memory_format=torch.channels_last)


# x [N, C, H, W], transformed weights [36, C, D] -> [N, D, H, W] in channels_last
def _convolve(x: Tensor, weights: Tensor, bias: Tensor | None = None, slope: float | None = None) -> Tensor:
    n, _, h, w = x.shape
    d = weights.shape[2]
    x = x.contiguous(memory_format=torch.channels_last)  # once, not for each height of bands
    y = torch.empty(n, d, h, w, dtype=x.dtype, memory_format=torch.channels_last)
    pixels = _pixels_of_tiles(y)
    for bands, (first, second) in _bands_with_memory(x, d, pieces=2):
        inputs, some = _Inputs(x, len(bands[0]), first, second), _of_band(pixels, bands[0])
        products = _view(second, 36, some[0, 0].numel())
        tiles = _view(first, *some.shape)
        for band in bands:
            torch.bmm(inputs.tiles(band), weights, out=products.view(36, -1, d))
            torch.mm(_A2, products, out=tiles.view(16, -1))
            if bias is not None:
                tiles.add_(bias)
            if slope is not None:
                F.leaky_relu_(tiles, slope)
            _of_band(pixels, band).copy_(tiles)
    return y


# Rows of tiles of a batch x [N, C, H, W] for each band. Its products read all weights: hence no fewer tiles than a
# quarter of the channels. The weight's gradient is summed by bands, and so depends on the threads, as a plan does.
def _bands(x: Tensor, d: int) -> list[range]:
    n, c, h, w = x.shape
    rows, wider, threads = n * h // 4, max(c, d), torch.get_num_threads()
    numbers = NUMBERS if threads == 1 else min(NUMBERS_PER_THREAD * threads, MAX_NUMBERS)
    tiles = max(numbers // (36 * wider), wider // 4, MIN_TILES)
    height = math.ceil(rows / math.ceil(rows * (w // 4) / tiles))
    return [range(first, min(first + height, rows)) for first in range(0, rows, height)]


# Bands of one height each, and pieces of memory for their steps, each of which reads one and writes another
def _bands_with_memory(x: Tensor, d: int, pieces: int) -> Iterator[tuple[list[range], list[Tensor]]]:
    bands = _bands(x, d)
    size = 36 * len(bands[0]) * (x.shape[3] // 4) * max(x.shape[1], d)
    memory = [x.new_empty(size) for _ in range(pieces)]
    for _, some in groupby(bands, key=len):
        yield list(some), memory


def _view(piece: Tensor, *shape: int) -> Tensor:
    return piece[: math.prod(shape)].view(shape)


# G w G^T, as [36, D, C]; of the 6x6 pixels of a tile, here and below, those of a column come one after the other
def _weights(weight: Tensor, transform: Tensor) -> Tensor:
    d, c, _, _ = weight.shape
    return torch.mm(transform, weight.permute(3, 2, 0, 1).reshape(9, -1)).view(36, d, c)


# The rows of pixels of all images, one image below the other, as [N H, W C]
def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous().view(-1, x.shape[3] * x.shape[1])


# The 4x4 pixels of tiles without overlap: [N, C, H, W] as [4, 4, N H / 4, W / 4, C]
def _pixels_of_tiles(x: Tensor) -> Tensor:
    _, c, _, w = x.shape
    return _rows(x).view(-1, 4, w // 4, 4, c).permute(3, 1, 0, 2, 4)


def _of_band(pixels: Tensor, band: range) -> Tensor:
    return pixels.narrow(2, band.start, len(band))


# Tiles that have the same rows inside of their image: what of B^T meets these, the rows as [count, rows, W C], and the
# first tile and the distance to the next one among all rows of tiles
class _Alike(NamedTuple):
    transform: Tensor
    windows: Tensor
    first: int
    step: int


class _Inputs:
    """B^T x B of inputs x [N, C, H, W] in channels_last, by bands of `m` rows of tiles, in two pieces of memory."""

    def __init__(self, x: Tensor, m: int, memory: Tensor, other: Tensor) -> None:
        _, c, h, w = x.shape
        rows, height = _rows(x), min(h, 5)
        top, bottom = rows.unfold(0, height, h).transpose(1, 2), rows[h - height :].unfold(0, height, h).transpose(1, 2)
        # A tile's 6 rows begin above its 4 and end below them. All are taken as if images went on in each other, and
        # those at an image's top or bottom once more, with the rows that exist.
        self._alike = [
            _Alike(_BT[:, 1 : 1 + height], top, 0, h // 4),
            _Alike(_BT[:, 5 - height : 5], bottom, h // 4 - 1, h // 4),
        ]
        if len(rows) > 8:
            self._alike.insert(0, _Alike(_BT, rows[3:].unfold(0, 6, 4).transpose(1, 2), 1, 1))
        # B^T x, and a pixel of anything before and behind, which the first and the last window have beyond the image
        halves = _view(memory, 6 * m * w + 2, c)
        self._halves = halves[1:-1].view(m, 6, w * c)
        self._windows = halves.unfold(0, 6, 4).view(m, 6, w // 4, c, 6).permute(4, 1, 0, 2, 3)
        self._columns = _view(other, 6, 6, m, w // 4, c)
        self._beyond = self._columns[0, :, :, 0], self._columns[5, :, :, -1]
        self._tiles = _view(memory, 6, self._columns[0].numel())

    def tiles(self, band: range) -> Tensor:
        """[36, T, C], in the first piece of memory."""
        for transform, windows, first, step in self._alike:
            start, stop = (max(-((first - row) // step), 0) for row in (band.start, band.stop))
            count = min(stop, len(windows)) - start
            if count > 0:
                row = first + start * step - band.start
                out = self._halves[row : row + count * step : step]
                torch.bmm(transform.expand(count, -1, -1), windows.narrow(0, start, count), out=out)
        self._columns.copy_(self._windows)
        for pixels in self._beyond:  # until here those of other rows
            pixels.zero_()
        torch.mm(_BT, self._columns.view(6, -1), out=self._tiles)
        return self._tiles.view(36, -1, self._columns.shape[4])
