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

import torch
import torch.nn.functional as F
from torch import Tensor

# N batch, C channels in, D channels out, H W spatial, T tiles of 4x4 outputs, M rows of tiles

# Lavin & Gray, section 4.3
_G = torch.tensor(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], dtype=torch.float64,
)  # fmt: skip
_G2 = torch.kron(_G, _G).float()  # [36, 9], from both sides
_BT = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1.0]],
)  # fmt: skip
_AT = torch.tensor([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1.0]])
_A2 = torch.kron(_AT, _AT)  # [16, 36]

NUMBERS_AT_A_TIME, TILES_AT_A_TIME = 2**18, 96  # 1 MB
TIMES_PER_THREAD = 4  # as many where there are several: after each step all wait for the last one


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
    inputs, gradients = _rows(x), _rows(dy)
    bands = _bands(x, d)
    first, second, third = _memory(bands[0], x.shape[3], max(c, d), pieces=3)
    d_weights = x.new_zeros(36, d, c)
    for band in bands:
        d_products = _tiles_of_gradients(gradients, band, first, second)
        tiles = _tiles_of_inputs(inputs, x.shape[2] // 4, band, third, second)
        d_weights.baddbmm_(d_products.transpose(1, 2), tiles)
    dw = torch.mm(_G2.t(), d_weights.view(36, -1)).view(3, 3, d, c)
    return dw.permute(2, 3, 1, 0).contiguous(memory_format=torch.channels_last)


# x [N, C, H, W], transformed weights [36, C, D] -> [N, D, H, W] in channels_last
def _convolve(x: Tensor, weights: Tensor, bias: Tensor | None = None, slope: float | None = None) -> Tensor:
    n, c, h, w = x.shape
    d = weights.shape[2]
    y = torch.empty(n, d, h, w, memory_format=torch.channels_last)
    inputs, outputs = _rows(x), _rows(y)
    bands = _bands(x, d)
    first, second = _memory(bands[0], w, max(c, d), pieces=2)
    for band in bands:
        tiles = _tiles_of_inputs(inputs, h // 4, band, first, second)
        products = torch.bmm(tiles, weights, out=_view(second, 36, tiles.shape[1], d))
        tiles = _tiles_of_outputs(products, bias, slope, first)
        pixels = _pixels_of_tiles(outputs, band)
        pixels[:] = tiles.view(pixels.shape)
    return y


# The rows of pixels of all images, one image below the other, as [N H, W, C]
def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous().flatten(0, 1)


# Rows of tiles of a batch x [N, C, H, W]: few, so that their tiles stay in the processors' caches, but enough for the
# products, which read all weights each time
def _bands(x: Tensor, d: int) -> list[range]:
    n, c, h, w = x.shape
    rows = n * h // 4
    tiles = max(NUMBERS_AT_A_TIME // (36 * max(c, d)), max(c, d) // 4, TILES_AT_A_TIME)
    if (threads := torch.get_num_threads()) > 1:
        tiles *= TIMES_PER_THREAD * threads
    height = math.ceil(rows / math.ceil(rows * (w // 4) / tiles))
    return [range(first, min(first + height, rows)) for first in range(0, rows, height)]


# Pieces of memory for the steps of a band; each step reads one and writes another
def _memory(band: range, w: int, channels: int, pieces: int) -> list[Tensor]:
    return [torch.empty(36 * len(band) * (w // 4) * channels) for _ in range(pieces)]


def _view(piece: Tensor, *shape: int) -> Tensor:
    return piece[: math.prod(shape)].view(shape)


# G w G^T, as [36, D, C]; of the 6x6 pixels of a tile, here and below, those of a column come one after the other
def _weights(weight: Tensor, transform: Tensor) -> Tensor:
    d, c, _, _ = weight.shape
    return torch.mm(transform, weight.permute(3, 2, 0, 1).reshape(9, -1)).view(36, d, c)


# B^T x B of the tiles in some rows of them, as [36, T, C] in `memory`; writes to `other`, too
def _tiles_of_inputs(rows: Tensor, tiles_per_column: int, band: range, memory: Tensor, other: Tensor) -> Tensor:
    _, w, c = rows.shape
    m = len(band)
    halves = _view(memory, 6 * m * w + 2, c)  # with a pixel before and behind
    _transform_rows(rows.flatten(1), tiles_per_column, band, halves[1:-1].view(m, 6, w * c))
    columns = _view(other, 6, 6, m, w // 4, c)
    columns[:] = halves.unfold(0, 6, 4).view(m, 6, w // 4, c, 6).permute(4, 1, 0, 2, 3)
    columns[0, :, :, 0] = columns[5, :, :, -1] = 0  # beyond the image, not the next row's
    return torch.mm(_BT, columns.view(6, -1), out=_view(memory, 6, columns[0].numel())).view(36, -1, c)


# B^T x of rows [N H, W C] in [M, 6, W C]. A tile's 6 rows begin above its 4 and end below them: at first as if other
# images went on there, and for tiles at an image's top or bottom again with the rows that exist
def _transform_rows(rows: Tensor, tiles_per_column: int, band: range, halves: Tensor) -> None:
    inside = range(max(band.start, 1), min(band.stop, len(rows) // 4 - 1))
    tops = band[-band.start % tiles_per_column :: tiles_per_column]
    bottoms = band[(-1 - band.start) % tiles_per_column :: tiles_per_column]
    height = min(4 * tiles_per_column, 5)
    for tiles, first, count in ((inside, 0, 6), (tops, 1, height), (bottoms, 5 - height, height)):
        if tiles:
            start, stop = 4 * tiles[0] - 1 + first, 4 * tiles[-1] - 1 + first + count
            windows = rows[start:stop].unfold(0, count, 4 * tiles.step).transpose(1, 2)
            transform = _BT[:, first : first + count].expand(len(tiles), 6, count)
            torch.bmm(transform, windows, out=halves[tiles[0] - band.start :: tiles.step][: len(tiles)])


# A dy A^T of the tiles in some rows of them, as [36, T, D] in `memory`; writes to `other`, too
def _tiles_of_gradients(rows: Tensor, band: range, memory: Tensor, other: Tensor) -> Tensor:
    pixels = _pixels_of_tiles(rows, band)
    tiles = _view(other, *pixels.shape)
    tiles[:] = pixels
    return torch.mm(_A2.t(), tiles.view(16, -1), out=_view(memory, 36, tiles[0, 0].numel())).view(36, -1, rows.shape[2])


# A^T [...] A of products [36, T, D] and what follows, as [16, T, D] in `memory`
def _tiles_of_outputs(products: Tensor, bias: Tensor | None, slope: float | None, memory: Tensor) -> Tensor:
    _, t, d = products.shape
    tiles = torch.mm(_A2, products.view(36, -1), out=_view(memory, 16, t * d)).view(16, t, d)
    if bias is not None:
        tiles += bias
    return tiles if slope is None else F.leaky_relu_(tiles, slope)


# The 4x4 pixels of the tiles in some rows of them: [N H, W, C] as [4, 4, M, W / 4, C]
def _pixels_of_tiles(rows: Tensor, band: range) -> Tensor:
    _, w, c = rows.shape
    return rows[4 * band.start : 4 * band.stop].view(len(band), 4, w // 4, 4, c).permute(3, 1, 0, 2, 4)
