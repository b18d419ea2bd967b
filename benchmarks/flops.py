"""Floating point operations of what a function runs: convolutions and matrix products, their derivatives included."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from dualgan.networks.cpu import fused

aten = torch.ops.aten


def convolution_flops(input_shape: torch.Size, weight_shape: torch.Size, output_shape: torch.Size) -> int:
    """A multiplication and an addition per weight and position; a grouped weight holds one group's inputs already.

    The positions are the larger map's for a transposed convolution's input, so the smaller map of the two counts.
    """
    positions = min(prod(input_shape[2:]), prod(output_shape[2:])) if len(input_shape) > 2 else 1
    return 2 * input_shape[0] * positions * prod(weight_shape)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = operator(*args, **(kwargs or {}))
        packet = operator.overloadpacket
        if packet in (aten.convolution, fused.OPERATOR):
            self.total += convolution_flops(args[0].shape, args[1].shape, output.shape)
        elif packet is fused.IN_PLACE:
            self.total += convolution_flops(args[1].shape, args[2].shape, output.shape)
        elif packet is aten.convolution_backward:
            derivatives = sum(bool(wanted) for wanted in args[10][:2])
            self.total += derivatives * convolution_flops(args[1].shape, args[2].shape, args[0].shape)
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=output)
        return output


def count_flops(run: Callable[[], object]) -> int:
    """Run a function once and count."""
    counter = _Counter()
    with counter:
        run()
    return counter.total
