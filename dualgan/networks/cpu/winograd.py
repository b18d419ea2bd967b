"""Winograd's fast algorithm for wide 3x3 convolutions on CPUs, from plain matrix products.

A convolution of 4x4 outputs takes 144 multiplications per pair of channels; this algorithm takes 36, as 36 products
of [tiles, channels in] with [channels in, channels out] matrices, between linear transforms of tiles and weight:

    y = A^T [ (G w G^T) . (B^T x B) ] A                     Lavin & Gray, CVPR 2016, Eq. 8, with F(4x4, 3x3)

x is a tile of 6x6 inputs, w a 3x3 weight, `.` the product over channels. The transforms are products too, of the
Kronecker square of B^T, G or A^T with the pixels of all tiles. GPUs are left to cuDNN, which has this algorithm itself.

The three functions are exact adjoints of each other up to rounding. In float32 the relative error is 3e-6 where
direct convolutions have 1e-6.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# N batch, C channels in, D channels out, H W spatial, T tiles of 4x4 outputs

# Lavin & Gray, section 4.3
_G = torch.tensor(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], dtype=torch.float64,
)  # fmt: skip
_BT = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]], dtype=torch.float64,
)  # fmt: skip
_AT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)
# from both sides
_G2 = torch.kron(_G, _G).float()  # [36, 9]
_B2 = torch.kron(_BT, _BT).float()  # [36, 36]
_A2 = torch.kron(_AT, _AT).float()  # [16, 36]

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
        d_products = _tiles(dy[some].permute(0, 2, 3, 1), 4, _A2.t())
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


# Windows of `size` x `size` pixels of maps [N, H, W, C], one every 4, transformed from both sides, as [36, T, C]
def _tiles(maps: Tensor, size: int, transform: Tensor) -> Tensor:
    windows = maps.unfold(1, size, 4).unfold(2, size, 4).permute(4, 5, 0, 1, 2, 3)
    return torch.mm(transform, windows.reshape(size**2, -1)).view(36, -1, maps.shape[3])


# B^T x B of all tiles, as [36, T, C]
def _input_tiles(x: Tensor) -> Tensor:
    return _tiles(F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)), 6, _B2)


# A^T [...] A from products [36, T, D] into y [N, D, H, W] in channels_last
def _put_together(products: Tensor, y: Tensor) -> None:
    n, d, h, w = y.shape
    tiles = torch.mm(_A2, products.view(36, -1)).view(4, 4, n, h // 4, w // 4, d)
    y.permute(0, 2, 3, 1).view(n, h // 4, 4, w // 4, 4, d).copy_(tiles.permute(2, 3, 0, 4, 1, 5))
