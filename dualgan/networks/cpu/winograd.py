"""Winograd's fast algorithm for wide 3x3 convolutions on CPUs, from plain matrix products.

A convolution of 4x4 outputs takes 144 multiplications per pair of channels; this algorithm takes 36, as 36 products
of [tiles, channels in] with [channels in, channels out] matrices, between linear transforms of tiles and weight:

    y = A^T [ (G w G^T) . (B^T x B) ] A                     Lavin & Gray, CVPR 2016, Eq. 8, with F(4x4, 3x3)

x is a tile of 6x6 inputs, w a 3x3 weight, `.` the product over channels. Tiles are transformed by sums and
differences of whole maps, first over the rows of all tiles, then over their columns. GPUs are left to cuDNN, which
has this algorithm itself.

The three functions are exact adjoints of each other up to rounding. In float32 the relative error is 3e-6 where
direct convolutions have 1e-6.
"""

from collections.abc import Callable, Sequence

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

CACHED = 2**20  # numbers: 4 MB; not by the threads, on which the weight's gradient would depend then
TILES_AT_A_TIME = 256


def convolution(x: Tensor, weight: Tensor) -> Tensor:
    """x [N, C, H, W], weight [D, C, 3, 3] -> [N, D, H, W], zero padding."""
    return _convolve(x, _weights(weight, _G2).transpose(1, 2))


def input_adjoint(dy: Tensor, weight: Tensor) -> Tensor:
    """dy [N, D, H, W], weight [D, C, 3, 3] -> gradient of the input [N, C, H, W]."""
    # The adjoint is a convolution with the weight turned by 180 degrees, its channels exchanged.
    return _convolve(dy, _weights(weight, _G2.flip(1)))


def weight_adjoint(x: Tensor, dy: Tensor) -> Tensor:
    """x [N, C, H, W], dy [N, D, H, W] -> gradient of the weight [D, C, 3, 3]."""
    c, d = x.shape[1], dy.shape[1]
    d_weights = x.new_zeros(36, d, c)
    for some in _parts(x):
        d_products = _tiles(dy[some].permute(0, 2, 3, 1), 4, _output_adjoint)
        d_weights.baddbmm_(d_products.transpose(1, 2), _input_tiles(x[some]))
    dw = torch.mm(_G2.t(), d_weights.view(36, -1)).view(3, 3, d, c)
    return dw.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


# x [N, C, H, W], transformed weights [36, C, D] -> [N, D, H, W] in channels_last
def _convolve(x: Tensor, weights: Tensor) -> Tensor:
    n, _, h, w = x.shape
    y = torch.empty(n, weights.shape[2], h, w, memory_format=torch.channels_last)
    for some in _parts(x):
        _put_together(torch.bmm(_input_tiles(x[some]), weights), y[some])
    return y


# Slices of a batch x [N, C, H, W]: few images, so that their tiles stay in the processors' caches, but enough for
# the products, which read all weights each time
def _parts(x: Tensor) -> list[slice]:
    n, c, h, w = x.shape
    tiles = h * w // 16
    count = max(CACHED // (36 * tiles * c), TILES_AT_A_TIME // tiles, 1)
    return [slice(first, min(first + count, n)) for first in range(0, n, count)]


# G w G^T, as [36, D, C]
def _weights(weight: Tensor, transform: Tensor) -> Tensor:
    d, c, _, _ = weight.shape
    return torch.mm(transform, weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, d, c)


# B^T x: six values from six
def _input_transform(x: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    a, b = torch.sub(x[4], x[2], alpha=4), torch.sub(x[3], x[1], alpha=4)
    c, d = x[4] - x[2], x[3] - x[1]
    torch.add(c, x[0] - x[2], alpha=4, out=out[0])
    torch.add(a, b, out=out[1])
    torch.sub(a, b, out=out[2])
    torch.add(c, d, alpha=2, out=out[3])
    torch.sub(c, d, alpha=2, out=out[4])
    torch.sub(x[5] - x[3], d, alpha=4, out=out[5])


# A^T m: four values from six
def _output_transform(m: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    a, b = m[1] + m[2], m[1] - m[2]
    c, d = m[3] + m[4], m[3] - m[4]
    torch.add(m[0] + a, c, out=out[0])
    torch.add(b, d, alpha=2, out=out[1])
    torch.add(a, c, alpha=4, out=out[2])
    torch.add(b + m[5], d, alpha=8, out=out[3])


# A y: its adjoint, six values from four
def _output_adjoint(y: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    out[0].copy_(y[0])
    out[5].copy_(y[3])
    a, b = y[0] + y[2], y[1] + y[3]
    torch.add(a, b, out=out[1])
    torch.sub(a, b, out=out[2])
    a, b = torch.add(y[0], y[2], alpha=4), torch.add(y[1], y[3], alpha=4)
    torch.add(a, b, alpha=2, out=out[3])
    torch.sub(a, b, alpha=2, out=out[4])


Transform = Callable[[Sequence[Tensor], Sequence[Tensor]], None]


# Windows of `size` x `size` pixels of maps [N, H, W, C], one every 4, transformed from both sides, as [36, T, C]
def _tiles(maps: Tensor, size: int, transform: Transform) -> Tensor:
    n, h, w, c = maps.shape
    high, wide = (h - size) // 4 + 1, (w - size) // 4 + 1
    halves = maps.new_empty(6, n, high, w, c)
    transform([maps[:, i::4][:, :high] for i in range(size)], halves.unbind())
    tiles = maps.new_empty(6, 6, n, high, wide, c)
    transform([halves[:, :, :, j::4][:, :, :, :wide] for j in range(size)], tiles.unbind(1))
    return tiles.view(36, -1, c)


# B^T x B of all tiles, as [36, T, C]
def _input_tiles(x: Tensor) -> Tensor:
    return _tiles(F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)), 6, _input_transform)


# A^T [...] A from products [36, T, D] into y [N, D, H, W] in channels_last
def _put_together(products: Tensor, y: Tensor) -> None:
    n, d, h, w = y.shape
    tiles = products.view(6, 6, n, h // 4, w // 4, d)
    halves = products.new_empty(4, *tiles.shape[1:])
    _output_transform(tiles.unbind(), halves.unbind())
    outputs = y.permute(0, 2, 3, 1).view(n, h // 4, 4, w // 4, 4, d).permute(4, 2, 0, 1, 3, 5)
    _output_transform(halves.unbind(1), outputs.unbind())
