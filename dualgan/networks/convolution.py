"""Convolutions whose second derivatives run at the speed of the first.

PyTorch differentiates a convolution's backward pass by a general formula that loops over groups and turns weight
gradients into convolutions of unusual shape. R1 and path length go through that code at every lazy step. Here each
derivative of a convolution is again one of three calls (convolution, its adjoint in the input, its adjoint in the
weight), so any order of derivative costs what it must. All three are bilinear:

    y = conv(x, w),   dx = input_adjoint(dy, w),   dw = weight_adjoint(x, dy)
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


@dataclass(frozen=True)
class Geometry:
    """Everything about a convolution but its tensors.

    Attributes:
        stride: Stride in both directions.
        padding: Zero padding in both directions.
        groups: Channel groups.
        transposed: Apply the transposed convolution.
    """

    stride: int = 1
    padding: int = 0
    groups: int = 1
    transposed: bool = False

    def arguments(self) -> tuple[list[int], list[int], list[int], bool, list[int], int]:
        """Stride, padding, dilation, transposed, output padding and groups as the operators take them."""
        return [self.stride] * 2, [self.padding] * 2, [1, 1], self.transposed, [0, 0], self.groups


def convolve(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Convolution (or transposed convolution) of x [N, C, H, W], differentiable any number of times.

    Under autocast both tensors are cast to its type, as for PyTorch's own convolutions.
    """
    device = x.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
    result: Tensor = _Convolution.apply(x, weight, geometry)
    return result


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Switch autocast off, so that second derivatives keep their type; the meta device has none."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def _adjoint(dy: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: int) -> Tensor:
    """One output of the convolution's backward: 0 for the input's gradient, 1 for the weight's."""
    mask = [wanted == 0, wanted == 1, False]
    outputs = torch.ops.aten.convolution_backward(dy, x, weight, None, *geometry.arguments(), mask)
    adjoint: Tensor = outputs[wanted]
    return adjoint


class _Convolution(Function):
    """y = conv(x, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        with _without_autocast(x.device.type):
            y: Tensor = torch.ops.aten.convolution(x, weight, None, *geometry.arguments())
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        dx = _InputAdjoint.apply(dy, weight, x, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = _WeightAdjoint.apply(x, dy, weight, ctx.geometry) if ctx.needs_input_grad[1] else None
        return dx, dw, None


class _InputAdjoint(Function):
    """dx = input_adjoint(dy, w); `x` lends its shape only."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, weight: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(dy, weight)
        ctx.geometry = geometry
        return _adjoint(dy, x, weight, geometry, wanted=0)

    @staticmethod
    def backward(ctx: Any, ddx: Tensor) -> Any:
        dy, weight = ctx.saved_tensors
        d_dy = _Convolution.apply(ddx, weight, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = _WeightAdjoint.apply(ddx, dy, weight, ctx.geometry) if ctx.needs_input_grad[1] else None
        return d_dy, dw, None, None


class _WeightAdjoint(Function):
    """dw = weight_adjoint(x, dy); `weight` lends its shape only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, dy)
        ctx.geometry = geometry
        return _adjoint(dy, x, weight, geometry, wanted=1)

    @staticmethod
    def backward(ctx: Any, ddw: Tensor) -> Any:
        x, dy = ctx.saved_tensors
        dx = _InputAdjoint.apply(dy, ddw, x, ctx.geometry) if ctx.needs_input_grad[0] else None
        d_dy = _Convolution.apply(x, ddw, ctx.geometry) if ctx.needs_input_grad[1] else None
        return dx, d_dy, None, None
