"""Convolutions whose second derivatives run at the speed of the first.

PyTorch differentiates a convolution's backward pass by a general formula that loops over groups and turns weight
gradients into convolutions of unusual shape. R1 and path length go through that code at every lazy step. Here each
derivative of a convolution is again one of three calls (convolution, its adjoint in the input, its adjoint in the
weight), so any order of derivative costs what it must. All three are bilinear:

    y = conv(x, w),   dx = input_adjoint(dy, w),   dw = weight_adjoint(x, dy)

On a CPU, where a plan says so (`cpu.plan`), some run as matrix products or a few groups at a time; everything else, and
everything on other devices, is left to PyTorch's operators. A leaky ReLU may be part of the convolution: CPUs then
compute both in one pass.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from dualgan.networks.cpu.algorithms import Call, direct
from dualgan.networks.cpu.plan import hand_made
from dualgan.networks.geometry import SAME, Geometry
from dualgan.runtime.precision import autocast_enabled

__all__ = ["SAME", "Geometry", "convolve", "pointwise"]


def convolve(
    x: Tensor, weight: Tensor, geometry: Geometry, bias: Tensor | None = None, slope: float | None = None
) -> Tensor:
    """Convolution (or transposed convolution) of x [N, C, H, W] plus a bias, differentiable any number of times.

    Under autocast all tensors are cast to its type, as for PyTorch's own convolutions. With a `slope` above 0 a leaky
    ReLU follows.
    """
    device = x.device.type
    if autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    if torch.compiler.is_compiling():  # has no second derivatives, and traces PyTorch's own first ones better
        traced: Tensor = torch.ops.aten.convolution(x, weight, bias, *geometry.arguments())
        return traced if slope is None else F.leaky_relu_(traced, slope)
    result: Tensor = _Convolution.apply(x, weight, bias, geometry, slope)
    return result


def convolve_beside(x: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """x [N, C, H, W] for its other uses, and its convolution: for filters of maps that have a second use.

    In bfloat16 CPUs compute the convolution's part of the gradient onto the rest of it, in one pass. It is added as
    everywhere otherwise, so that the bits in float32 do not depend on how a network is written.
    """
    if x.device.type != "cpu" or x.dtype != torch.bfloat16 or torch.compiler.is_compiling():
        return x, convolve(x, weight, geometry)
    beside: tuple[Tensor, Tensor] = _Beside.apply(x, weight.to(x.dtype), geometry)
    return beside


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution of x [N, C, H, W] with weight [D, C, 1, 1]: a matrix product, cheaper to call than `convolve`."""
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def _run(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, slope: float | None) -> Tensor:
    """y = conv(x, w) + b, activated."""
    call = Call("forward", x, weight, None, geometry, bias=bias, slope=slope)
    y = hand_made(call)
    return direct(call) if y is None else y


def _adjoints(
    dy: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The convolution's backward: gradients of the input, the weight and the bias, as far as `wanted`."""
    dx = hand_made(Call("input", x, weight, dy, geometry)) if wanted[0] else None
    dw = hand_made(Call("weight", x, weight, dy, geometry)) if wanted[1] else None
    # oneDNN computes the weight's gradient whenever it is asked for the bias's.
    db = dy.sum(dim=(0, 2, 3)) if wanted[2] and dw is not None else None
    rest = [want and result is None for want, result in zip(wanted, (dx, dw, db), strict=True)]
    if any(rest):
        outputs = torch.ops.aten.convolution_backward(dy, x, weight, [dy.shape[1]], *geometry.arguments(), rest)
        dx, dw, db = (
            output if want else result for output, want, result in zip(outputs, rest, (dx, dw, db), strict=True)
        )
    return dx, dw, db


class _Convolution(Function):
    """y = conv(x, w) + b, and a leaky ReLU if there is a slope."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, slope: float | None
    ) -> Tensor:
        y = _run(x, weight, bias, geometry, slope)
        ctx.save_for_backward(x, weight, None if slope is None else y)
        ctx.geometry, ctx.slope = geometry, slope
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, weight, y = ctx.saved_tensors
        if y is not None:  # its sign is that of what was activated, and no derivative goes through it
            dy = torch.ops.aten.leaky_relu_backward(dy, y.detach(), ctx.slope, True)
        if not torch.is_grad_enabled():  # first derivatives only: one call for all of them
            return *_adjoints(dy, x, weight, ctx.geometry, ctx.needs_input_grad[:3]), None, None
        dx = _InputAdjoint.apply(dy, weight, x, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = _WeightAdjoint.apply(x, dy, weight, ctx.geometry) if ctx.needs_input_grad[1] else None
        db = dy.sum(dim=(0, 2, 3)) if ctx.needs_input_grad[2] else None
        return dx, dw, db, None, None


class _Beside(Function):
    """x and y = conv(x, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return x.view_as(x), _run(x, weight, None, geometry, None)

    @staticmethod
    def backward(ctx: Any, dx: Tensor, dy: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        assert not ctx.needs_input_grad[1], "filters do not learn"
        if torch.is_grad_enabled():
            return dx + _InputAdjoint.apply(dy, weight, x, ctx.geometry), None, None
        call = Call("input", x, weight, dy, ctx.geometry, onto=dx)
        total = hand_made(call)
        return direct(call) if total is None else total, None, None


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
        d_dy = _Convolution.apply(ddx, weight, None, ctx.geometry, None) if ctx.needs_input_grad[0] else None
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
        d_dy = _Convolution.apply(x, ddw, None, ctx.geometry, None) if ctx.needs_input_grad[1] else None
        return dx, d_dy, None, None
