"""Winograd's fast algorithm for wide 3x3 convolutions on CPUs, from plain matrix products.

A convolution of 4x4 outputs takes 144 multiplications per pair of channels; this algorithm takes 36, as 36 products
of [tiles, channels in] with [channels in, channels out] matrices, between linear transforms of tiles and weight:

    y = A^T [ (G w G^T) . (B^T x B) ] A                     Lavin & Gray, CVPR 2016, Eq. 8, with F(4x4, 3x3)

x is a tile of 6x6 inputs, w a 3x3 weight, `.` the product over channels. A transform from both sides is one matrix
product with the Kronecker product of its matrix with itself. GPUs are left to cuDNN, which has this algorithm itself.

The three functions are exact adjoints of each other up to rounding. In float32 the relative error is 3e-6 where
direct convolutions have 1e-6.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.networks.matrix_products import matrix_products_allowed

# N batch, C channels in, D channels out, H W spatial, T tiles of 4x4 outputs

Rows = Sequence[Sequence[float]]

# Lavin & Gray, section 4.3
_B: Rows = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
      [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]  # fmt: skip
_G: Rows = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
      [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]  # fmt: skip
_A: Rows = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def _on_both_sides(rows: Rows) -> Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


_B2, _G2, _A2 = _on_both_sides(_B), _on_both_sides(_G), _on_both_sides(_A)  # [36, 36], [36, 9], [16, 36]

# Below these sizes the transforms cost more than the products save.
MIN_CHANNELS = 96
MIN_CHANNELS_OF_WEIGHT_GRADIENT = 64
MIN_TILES = 64

CACHED = 2**18  # numbers: 1 MB for each thread


def pays(x: Tensor, weight: Tensor, min_channels: int = MIN_CHANNELS) -> bool:
    """Whether a 3x3 convolution of x [N, C, H, W] with stride 1 and padding 1, or its adjoint, is faster like this."""
    n, _, h, w = x.shape
    return matrix_products_allowed(x, weight, min_channels) and h % 4 == w % 4 == 0 and n * h * w >= 16 * MIN_TILES


def convolution(x: Tensor, weight: Tensor) -> Tensor:
    """x [N, C, H, W], weight [D, C, 3, 3] -> [N, D, H, W], zero padding."""
    products = torch.bmm(_input_tiles(x), _weights(weight, _G2).transpose(1, 2))
    return _from_tiles(products, x.shape)


def input_adjoint(dy: Tensor, weight: Tensor) -> Tensor:
    """dy [N, D, H, W], weight [D, C, 3, 3] -> gradient of the input [N, C, H, W]."""
    # The adjoint is a convolution with the weight turned by 180 degrees, its channels exchanged.
    return _from_tiles(torch.bmm(_input_tiles(dy), _weights(weight, _G2.flip(1))), dy.shape)


def weight_adjoint(x: Tensor, dy: Tensor) -> Tensor:
    """x [N, C, H, W], dy [N, D, H, W] -> gradient of the weight [D, C, 3, 3]."""
    n, d, h, w = dy.shape
    tiles = dy.permute(0, 2, 3, 1).reshape(n, h // 4, 4, w // 4, 4, d).permute(2, 4, 0, 1, 3, 5).reshape(16, -1)
    d_products = torch.mm(_A2.t(), tiles).view(36, -1, d)
    d_weights = torch.bmm(d_products.transpose(1, 2), _input_tiles(x))
    dw = torch.mm(_G2.t(), d_weights.view(36, -1)).view(3, 3, d, x.shape[1])
    return dw.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


# G w G^T, as [36, D, C]
def _weights(weight: Tensor, transform: Tensor) -> Tensor:
    d, c, _, _ = weight.shape
    return torch.mm(transform, weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, d, c)


# B^T x B of all tiles, as [36, T, C]; a few images at a time, so that what is gathered stays in the cache
def _input_tiles(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3)  # [6, 6, N, H / 4, W / 4, C]
    tiles = x.new_empty(36, n, h * w // 16 * c)
    for some in _parts(n, tiles[0, 0].numel()):
        torch.mm(_B2, windows[:, :, some].reshape(36, -1), out=tiles[:, some].flatten(1))
    return tiles.view(36, -1, c)


# A^T [...] A from products [36, T, D], put together to [N, D, H, W] in channels_last
def _from_tiles(products: Tensor, shape: torch.Size) -> Tensor:
    n, _, h, w = shape
    d = products.shape[2]
    y = torch.empty(n, d, h, w, memory_format=torch.channels_last)
    tiles = y.permute(0, 2, 3, 1).view(n, h // 4, 4, w // 4, 4, d)
    images = products.view(36, n, -1)
    for some in _parts(n, images[0, 0].numel()):
        values = torch.mm(_A2, images[:, some].flatten(1)).view(4, 4, -1, h // 4, w // 4, d)
        tiles[some] = values.permute(2, 3, 0, 4, 1, 5)
    return y


# Slices of a batch of n whose tiles, 36 x `size` an image, fit the processors' caches
def _parts(n: int, size: int) -> list[slice]:
    count = max(CACHED * torch.get_num_threads() // (36 * size), 1)
    return [slice(first, min(first + count, n)) for first in range(0, n, count)]
