"""What a CPU can compute a convolution with: PyTorch's operators, and algorithms made of matrix products or of parts.

Which one is fastest depends on the CPU as much as on the shapes. Among layers of 128 channels at 32x32 matrix products
are the fastest where there is AVX2 alone and take 1.4 times as long where there are AVX-512 and AMX; at 512 channels
they win by 1.2 to 2 on both. So nothing here decides: `plan` measures.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dualgan.networks.cpu import columns, grouped, winograd
from dualgan.networks.geometry import SAME, Geometry

# Below these sizes no CPU that was looked at gains anything.
MIN_CHANNELS = 32
MIN_TILES = 64  # of 4x4 pixels
MIN_PRODUCTS = 2**24  # a tenth of a millisecond
MIN_PIXELS_OF_GROUPS = 64 * 64

DIRECT = "direct"  # PyTorch's own operators

Direction = Literal["forward", "input", "weight"]


class Call(NamedTuple):
    """One direction of one convolution y = conv(x, w). What it computes lends its shape only.

    Attributes:
        direction: "forward" computes y, "input" the gradient of x, "weight" that of w.
        x: Input [N, C, H, W].
        weight: [D, C / groups, k, k], or [C, D / groups, k, k] of a transposed convolution.
        dy: Gradient of the output; None where that is computed.
        geometry: Stride, padding, groups.
    """

    direction: Direction
    x: Tensor
    weight: Tensor
    dy: Tensor | None
    geometry: Geometry


def direct(call: Call) -> Tensor:
    """PyTorch's own operator."""
    x, weight, dy, geometry = call.x, call.weight, call.dy, call.geometry
    if dy is None:
        y: Tensor = torch.ops.aten.convolution(x, weight, None, *geometry.arguments())
        return y
    wanted = [call.direction == "input", call.direction == "weight", False]
    outputs = torch.ops.aten.convolution_backward(dy, x, weight, [dy.shape[1]], *geometry.arguments(), wanted)
    result = outputs[wanted.index(True)]
    assert isinstance(result, Tensor)
    return result


def by_winograd(call: Call) -> Tensor:
    """Winograd's algorithm."""
    if call.dy is None:
        return winograd.convolution(call.x, call.weight)
    if call.direction == "input":
        return winograd.input_adjoint(call.dy, call.weight)
    return winograd.weight_adjoint(call.x, call.dy)


def by_columns(call: Call) -> Tensor:
    """A product with the windows of the larger map: a transposed convolution's input is the smaller one."""
    assert call.dy is not None
    large, small = (call.dy, call.x) if call.geometry.transposed else (call.x, call.dy)
    return columns.weight_adjoint(large, small, call.geometry.stride, call.geometry.padding)


def by_groups(call: Call) -> Tensor:
    """Some groups at a time."""
    assert call.dy is not None
    geometry = call.geometry
    return grouped.weight_adjoint(call.x, call.dy, call.weight, geometry.stride, geometry.padding, geometry.groups)


ALGORITHMS: dict[str, Callable[[Call], Tensor]] = {
    DIRECT: direct,
    "winograd": by_winograd,
    "columns": by_columns,
    "groups": by_groups,
}


def alternatives(call: Call) -> list[str]:
    """Names of the algorithms that may be faster than PyTorch's operator; most calls have none."""
    if call.x.device.type != "cpu" or torch.compiler.is_compiling():
        return []
    weight, geometry, pixels = call.weight, call.geometry, call.x.shape[-2:].numel()
    wants_weight = call.direction == "weight"
    products = weight.numel() * len(call.x) * pixels // (1 if geometry.transposed else geometry.stride**2)
    if products < MIN_PRODUCTS:
        return []
    if call.x.dtype == weight.dtype == torch.bfloat16:
        many = grouped.are_many(weight, geometry.groups) and pixels >= MIN_PIXELS_OF_GROUPS
        return ["groups"] if wants_weight and many and not geometry.transposed else []
    wide = weight.shape[2:] == (3, 3) and geometry.groups == 1 and min(weight.shape[:2]) >= MIN_CHANNELS
    if not wide or not call.x.dtype == weight.dtype == torch.float32:
        return []
    tiled = call.x.shape[-1] % 4 == call.x.shape[-2] % 4 == 0 and len(call.x) * pixels >= 16 * MIN_TILES
    return ["winograd"] * (geometry == SAME and tiled) + ["columns"] * wants_weight
