"""A feature map times factors plus shifts, differentiable any number of times.

PyTorch's addcmul computes s + value * t1 * t2, and its backward pass multiplies the whole map by a `value` of 1 before
it needs it. In G's steps on a CPU that is one of six passes over every map.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def scale_shift(y: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """`shift` + `factor` * y of y [N, C, H, W], with addcmul's bits; both broadcast to y, for instance [N, C, 1, 1]."""
    if torch.compiler.is_compiling():
        return torch.addcmul(shift, y, factor)
    result: Tensor = _ScaleShift.apply(y, factor, shift)
    return result


class _ScaleShift(Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(y, factor)
        ctx.of_shift = shift.shape
        return torch.addcmul(shift, y, factor)

    @staticmethod
    def backward(ctx: Any, dz: Tensor) -> Any:
        y, factor = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        dy = dz * factor if wanted[0] else None
        dfactor = (dz * y).sum_to_size(factor.shape) if wanted[1] else None
        return dy, dfactor, dz.sum_to_size(ctx.of_shift) if wanted[2] else None
