"""Adjoints of depthwise convolutions, such as low-pass filters, in bfloat16 on CPUs: plain depthwise convolutions.

oneDNN computes the adjoint of a strided one up to forty times as slowly as the convolution itself in bfloat16, and that
of one with stride 1 twice as slowly. The adjoint is a convolution of the gradient, its pixels spread out by the stride
among zeros, with the kernel turned by 180 degrees:

    x[u] = sum_a y[a] w[u + p - s a],   p the padding, s the stride
"""

import torch
from torch import Tensor


def adjoint(y: Tensor, weight: Tensor, size: tuple[int, int], stride: int, padding: int) -> Tensor:
    """y [N, C, h, w], weight [C, 1, k, k] -> x [N, C, *size]."""
    edge = weight.shape[-1] - 1 - padding  # zeros around
    if stride == 1:
        return _convolved(y, weight, edge)
    n, c, h, w = y.shape
    wide = y.new_zeros(n, *(length + weight.shape[-1] - 1 for length in size), c)
    wide[:, edge : edge + stride * h : stride, edge : edge + stride * w : stride] = y.permute(0, 2, 3, 1)
    return _convolved(wide.permute(0, 3, 1, 2), weight, 0)


def _convolved(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    turned, groups = weight.flip(2, 3), len(weight)
    result: Tensor = torch.ops.aten.convolution(x, turned, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], groups)
    return result
