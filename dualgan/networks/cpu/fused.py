"""A convolution and what follows it in one pass over the map: oneDNN activates or adds before it stores.

In float32 the bits are those of two passes, but for small 1x1 convolutions and single images, which PyTorch computes
without oneDNN; bfloat16 rounds once instead of twice.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from dualgan.networks.geometry import Geometry
from dualgan.runtime.devices import bf16_cpu

# PyTorch without oneDNN lacks them.
OPERATOR: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
IN_PLACE: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise_", None)


def in_one_pass(x: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether oneDNN computes the convolution of x [N, C, H, W]."""
    if x.device.type != "cpu" or x.dtype != weight.dtype or x.numel() == 0 or geometry.transposed:
        return False
    return fuses(x.dtype)


def fuses(dtype: torch.dtype) -> bool:
    """Whether oneDNN computes convolutions of a type on this CPU."""
    return _has_it(dtype) and bool(torch.backends.mkldnn.enabled)


@cache
def _has_it(dtype: torch.dtype) -> bool:
    fast = dtype == torch.float32 or (dtype == torch.bfloat16 and bf16_cpu())
    return fast and OPERATOR is not None and IN_PLACE is not None and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def activated(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, slope: float) -> Tensor:
    """leaky_relu(conv(x, w) + b) of x [N, C, H, W], weight [D, C / groups, k, k]; not differentiable."""
    stride, padding, dilation, _, _, groups = geometry.arguments()
    y: Tensor = OPERATOR(x, weight, bias, padding, stride, dilation, groups, "leaky_relu", [slope], "")
    return y


def added(x: Tensor, weight: Tensor, geometry: Geometry, onto: Tensor) -> Tensor:
    """conv(x, w) + onto of the result's shape; not differentiable. One pass adds in place, to a copy of `onto`."""
    stride, padding, dilation, _, _, groups = geometry.arguments()
    total = onto.clone(memory_format=torch.channels_last)
    IN_PLACE.binary(total, x, weight, None, padding, stride, dilation, groups, "add", 1.0, None, [], None)
    return total
