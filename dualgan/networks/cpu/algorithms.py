"""What a CPU can compute a convolution with: PyTorch's operators, and algorithms that are made of others.

Which one is fastest depends on the CPU as much as on the shapes. On maps of 128x128 with 32 channels Winograd's
algorithm is as fast as PyTorch's operator where there is AVX2 alone and takes 1.4 times as long where there are AVX-512
and AMX; at 512 channels it wins by 1.4 to 2.5 on both. So nothing here decides: `plan` measures.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.networks.cpu import columns, depthwise, fused, grouped, winograd
from dualgan.networks.geometry import SAME, Geometry
from dualgan.runtime.precision import without_autocast

# Below these sizes no CPU that was looked at gains anything.
MIN_CHANNELS = 32
MIN_TILES = 64  # of 4x4 pixels
MIN_PRODUCTS = 2**24  # a tenth of a millisecond
MIN_PIXELS_OF_GROUPS = 64 * 64
MIN_NUMBERS_OF_FILTERS = 2**15  # of the larger map

DIRECT = "direct"  # PyTorch's own operators

Direction = Literal["forward", "input", "weight"]


class Call(NamedTuple):
    """One direction of one convolution y = conv(x, w). Of x, weight and dy, what it computes lends its shape only.

    Attributes:
        direction: "forward" computes y, "input" the gradient of x, "weight" that of w.
        x: Input [N, C, H, W].
        weight: [D, C / groups, k, k], or [C, D / groups, k, k] of a transposed convolution.
        dy: Gradient of the output; None where that is computed.
        geometry: Stride, padding, groups.
        onto: Added to the gradient of a filter's input; only `direct` and `by_spreading` are asked to.
        bias: [D], added to y; None of a direction backwards.
        slope: Of the leaky ReLU that follows the forward direction, if one does.
    """

    direction: Direction
    x: Tensor
    weight: Tensor
    dy: Tensor | None
    geometry: Geometry
    onto: Tensor | None = None
    bias: Tensor | None = None
    slope: float | None = None


def direct(call: Call) -> Tensor:
    """PyTorch's own operator."""
    x, weight, dy, geometry = call.x, call.weight, call.dy, call.geometry
    if dy is None:
        if call.slope is not None and fused.in_one_pass(x, weight, geometry):
            return fused.activated(x, weight, call.bias, geometry, call.slope)
        y: Tensor = torch.ops.aten.convolution(x, weight, call.bias, *geometry.arguments())
        return _activated(y, call.slope)
    wanted = [call.direction == "input", call.direction == "weight", False]
    outputs = torch.ops.aten.convolution_backward(dy, x, weight, [dy.shape[1]], *geometry.arguments(), wanted)
    result = outputs[wanted.index(True)]
    assert isinstance(result, Tensor)
    return result if call.onto is None else result.add_(call.onto)


# Products of matrices, unlike the operators of convolutions, would follow autocast: hence the two without it.
def by_winograd(call: Call) -> Tensor:
    """Winograd's algorithm."""
    with without_autocast("cpu"):
        if call.dy is None:
            return winograd.convolution(call.x, call.weight, call.bias, call.slope)
        if call.direction == "input":
            return winograd.input_adjoint(call.dy, call.weight)
        return winograd.weight_adjoint(call.x, call.dy)


def by_columns(call: Call) -> Tensor:
    """A product with the windows of the larger map: a transposed convolution's input is the smaller one."""
    assert call.dy is not None
    large, small = (call.dy, call.x) if call.geometry.transposed else (call.x, call.dy)
    with without_autocast("cpu"):
        return columns.weight_adjoint(large, small, call.geometry.stride, call.geometry.padding)


def by_groups(call: Call) -> Tensor:
    """Some groups at a time."""
    assert call.dy is not None
    geometry = call.geometry
    return grouped.weight_adjoint(call.x, call.dy, call.weight, geometry.stride, geometry.padding, geometry.groups)


def by_spreading(call: Call) -> Tensor:
    """A depthwise convolution of the map's pixels among zeros."""
    geometry = call.geometry
    if call.dy is not None:
        size = call.x.shape[2], call.x.shape[3]
        return depthwise.adjoint(call.dy, call.weight, size, geometry.stride, geometry.padding, call.onto)
    y = depthwise.adjoint(call.x, call.weight, _size_above(call), geometry.stride, geometry.padding)
    return _finished(y, call)


def by_swapping(call: Call) -> Tensor:
    """The transposed convolution as the input's gradient of the convolution whose gradient it is."""
    x, weight, geometry = call.x, call.weight, call.geometry
    above = x.new_empty(len(x), *_size_above(call), weight.shape[1]).permute(0, 3, 1, 2)
    return _finished(direct(Call("input", above, weight, x, replace(geometry, transposed=False))), call)


def _finished(y: Tensor, call: Call) -> Tensor:
    """y with the bias, activated."""
    if call.bias is not None:
        y.add_(call.bias[:, None, None])
    return _activated(y, call.slope)


def _activated(y: Tensor, slope: float | None) -> Tensor:
    return y if slope is None else F.leaky_relu_(y, slope)


def _size_above(call: Call) -> tuple[int, int]:
    """Of a transposed convolution's output."""
    k, stride, padding = call.weight.shape[-1], call.geometry.stride, call.geometry.padding
    high, wide = ((length - 1) * stride - 2 * padding + k for length in call.x.shape[2:])
    return high, wide


ALGORITHMS: dict[str, Callable[[Call], Tensor]] = {
    DIRECT: direct,
    "winograd": by_winograd,
    "columns": by_columns,
    "groups": by_groups,
    "spreading": by_spreading,
    "swapping": by_swapping,
}


def alternatives(call: Call) -> list[str]:
    """Names of the algorithms that may be faster than PyTorch's operator; most calls have none."""
    if call.x.device.type != "cpu" or torch.compiler.is_compiling():
        return []
    if call.x.dtype == call.weight.dtype == torch.bfloat16:
        names = {"groups": _many_groups(call), "spreading": _adjoint_of_filters(call), "swapping": _upwards(call)}
        return [name for name, possible in names.items() if possible]
    if call.x.dtype == call.weight.dtype == torch.float32 and _wide(call):
        return ["winograd"] * _tiled(call) + ["columns"] * (call.direction == "weight")
    return []


def _many_groups(call: Call) -> bool:
    large = call.x.shape[-2:].numel() >= MIN_PIXELS_OF_GROUPS
    many = grouped.are_many(call.weight, call.geometry.groups)
    return call.direction == "weight" and large and many and not call.geometry.transposed


# The forward pass of a transposed convolution is the adjoint of the one with the same weight.
def _adjoint_of_filters(call: Call) -> bool:
    weight, geometry = call.weight, call.geometry
    backwards = call.direction == ("forward" if geometry.transposed else "input")
    large = call.x.numel() * (geometry.stride**2 if geometry.transposed else 1) >= MIN_NUMBERS_OF_FILTERS
    depthwise = geometry.groups == len(weight) and weight.shape[1] == 1
    return backwards and large and depthwise and geometry.padding < min(weight.shape[2:])


def _upwards(call: Call) -> bool:
    large = call.weight.numel() * call.x.shape[-2:].numel() * len(call.x) >= MIN_PRODUCTS
    return call.direction == "forward" and call.geometry.transposed and call.geometry.groups == 1 and large


def _wide(call: Call) -> bool:
    weight, geometry = call.weight, call.geometry
    pixels = len(call.x) * call.x.shape[-2:].numel() // (1 if geometry.transposed else geometry.stride**2)
    wide = weight.shape[2:] == (3, 3) and geometry.groups == 1 and min(weight.shape[:2]) >= MIN_CHANNELS
    return wide and weight.numel() * pixels >= MIN_PRODUCTS


def _tiled(call: Call) -> bool:
    n, _, h, w = call.x.shape
    return call.geometry == SAME and h % 4 == w % 4 == 0 and n * h * w >= 16 * MIN_TILES
