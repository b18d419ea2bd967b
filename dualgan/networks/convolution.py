"""Convolutions whose second derivatives run at the speed of the first.

PyTorch differentiates a convolution's backward pass by a general formula that loops over groups and turns weight
gradients into convolutions of unusual shape. R1 and path length go through that code at every lazy step. Here each
derivative of a convolution is again one of three calls (convolution, its adjoint in the input, its adjoint in the
weight), so any order of derivative costs what it must. All three are bilinear:

    y = conv(x, w),   dx = input_adjoint(dy, w),   dw = weight_adjoint(x, dy)

On a CPU in float32, wide 3x3 convolutions run faster as matrix products (`winograd`, `columns`) than by PyTorch's
operators, and in bfloat16 many groups do a few at a time (`grouped`); everything else, and everything on other devices,
is left to those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from dualgan.networks.cpu import columns, grouped, winograd
from dualgan.runtime.precision import autocast_enabled, without_autocast


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


SAME = Geometry(padding=1)  # of a 3x3 convolution that keeps the resolution


def convolve(x: Tensor, weight: Tensor, geometry: Geometry, bias: Tensor | None = None) -> Tensor:
    """Convolution (or transposed convolution) of x [N, C, H, W] plus a bias, differentiable any number of times.

    Under autocast all tensors are cast to its type, as for PyTorch's own convolutions.
    """
    device = x.device.type
    if autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    if torch.compiler.is_compiling():  # has no second derivatives, and traces PyTorch's own first ones better
        return torch.ops.aten.convolution(x, weight, bias, *geometry.arguments())  # type: ignore[no-any-return]
    result: Tensor = _Convolution.apply(x, weight, bias, geometry)
    return result


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution of x [N, C, H, W] with weight [D, C, 1, 1]: a matrix product, cheaper to call than `convolve`."""
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def _run(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """y = conv(x, w) + b."""
    if geometry == SAME and winograd.pays(x, weight):
        y = winograd.convolution(x, weight)
        return y if bias is None else y.add_(bias[:, None, None])
    result: Tensor = torch.ops.aten.convolution(x, weight, bias, *geometry.arguments())
    return result


def _adjoints(
    dy: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The convolution's backward: gradients of the input, the weight and the bias, as far as `wanted`."""
    dx = winograd.input_adjoint(dy, weight) if wanted[0] and geometry == SAME and winograd.pays(dy, weight) else None
    dw = _fast_weight_adjoint(dy, x, weight, geometry) if wanted[1] else None
    # oneDNN computes the weight's gradient whenever it is asked for the bias's.
    db = dy.sum(dim=(0, 2, 3)) if wanted[2] and dw is not None else None
    rest = [want and result is None for want, result in zip(wanted, (dx, dw, db), strict=True)]
    if any(rest):
        outputs = torch.ops.aten.convolution_backward(dy, x, weight, [dy.shape[1]], *geometry.arguments(), rest)
        dx, dw, db = (
            output if want else result for output, want, result in zip(outputs, rest, (dx, dw, db), strict=True)
        )
    return dx, dw, db


def _fast_weight_adjoint(dy: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor | None:
    """The weight's gradient by matrix products or in parts, or None where PyTorch's operator is not slower."""
    if geometry == SAME and winograd.pays(x, weight, winograd.MIN_CHANNELS_OF_WEIGHT_GRADIENT):
        return winograd.weight_adjoint(x, dy)
    if columns.pays(x, weight, geometry.groups):
        # A transposed convolution's input is the smaller map, and takes its output's place.
        maps = (dy, x) if geometry.transposed else (x, dy)
        return columns.weight_adjoint(*maps, geometry.stride, geometry.padding)
    if not geometry.transposed and grouped.pays(x, weight, geometry.groups):
        return grouped.weight_adjoint(x, dy, weight, geometry.stride, geometry.padding, geometry.groups)
    return None


class _Convolution(Function):
    """y = conv(x, w) + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        with without_autocast(x.device.type):
            return _run(x, weight, bias, geometry)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        if not torch.is_grad_enabled():  # first derivatives only: one call for all of them
            return *_adjoints(dy, x, weight, ctx.geometry, ctx.needs_input_grad[:3]), None
        dx = _InputAdjoint.apply(dy, weight, x, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = _WeightAdjoint.apply(x, dy, weight, ctx.geometry) if ctx.needs_input_grad[1] else None
        db = dy.sum(dim=(0, 2, 3)) if ctx.needs_input_grad[2] else None
        return dx, dw, db, None


class _InputAdjoint(Function):
    """dx = input_adjoint(dy, w); `x` lends its shape only."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, weight: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(dy, weight)
        ctx.geometry = geometry
        dx, _, _ = _adjoints(dy, x, weight, geometry, (True, False, False))
        assert dx is not None
        return dx

    @staticmethod
    def backward(ctx: Any, ddx: Tensor) -> Any:
        dy, weight = ctx.saved_tensors
        d_dy = _Convolution.apply(ddx, weight, None, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = _WeightAdjoint.apply(ddx, dy, weight, ctx.geometry) if ctx.needs_input_grad[1] else None
        return d_dy, dw, None, None


class _WeightAdjoint(Function):
    """dw = weight_adjoint(x, dy); `weight` lends its shape only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, dy)
        ctx.geometry = geometry
        _, dw, _ = _adjoints(dy, x, weight, geometry, (False, True, False))
        assert dw is not None
        return dw

    @staticmethod
    def backward(ctx: Any, ddw: Tensor) -> Any:
        x, dy = ctx.saved_tensors
        dx = _InputAdjoint.apply(dy, ddw, x, ctx.geometry) if ctx.needs_input_grad[0] else None
        d_dy = _Convolution.apply(x, ddw, None, ctx.geometry) if ctx.needs_input_grad[1] else None
        return dx, d_dy, None, None
