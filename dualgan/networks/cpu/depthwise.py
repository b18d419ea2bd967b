"""Adjoints of depthwise convolutions, such as low-pass filters, in bfloat16 on CPUs: plain depthwise convolutions.

oneDNN computes the adjoint of a strided one up to forty times as slowly as the convolution itself in bfloat16, and that
of one with stride 1 twice as slowly. The adjoint is a convolution of the gradient, its pixels spread out by the stride
among zeros, with the kernel turned by 180 degrees:

    x[u] = sum_a y[a] w[u + p - s a],   p the padding, s the stride
"""

import torch
from torch import Tensor

from dualgan.networks.cpu import fused
from dualgan.networks.geometry import Geometry


def adjoint(
    y: Tensor, weight: Tensor, size: tuple[int, int], stride: int, padding: int, onto: Tensor | None = None
) -> Tensor:
    """y [N, C, h, w], weight [C, 1, k, k] -> x [N, C, *size], plus `onto` of that shape."""
    edge = weight.shape[-1] - 1 - padding  # zeros around
    if stride == 1:
        return _convolved(y, weight, edge, onto)
    n, c, h, w = y.shape
    wide = y.new_zeros(n, *(length + weight.shape[-1] - 1 for length in size), c)
    wide[:, edge : edge + stride * h : stride, edge : edge + stride * w : stride] = y.permute(0, 2, 3, 1)
    return _convolved(wide.permute(0, 3, 1, 2), weight, 0, onto)


def _convolved(x: Tensor, weight: Tensor, padding: int, onto: Tensor | None) -> Tensor:
    turned, geometry = weight.flip(2, 3), Geometry(padding=padding, groups=len(weight))
    if onto is not None and fused.fuses(x.dtype):
        return fused.added(x, turned, geometry, onto)
    result: Tensor = torch.ops.aten.convolution(x, turned, None, *geometry.arguments())
    return result if onto is None else result.add_(onto)
