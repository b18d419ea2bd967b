"""Modules whose tensors have shapes and no numbers, which cost neither memory nor random numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_CHANGES = (Tensor.div, Tensor.mul, Tensor.normal_, Tensor.uniform_)
"""What changes numbers alone, given numbers or tensors of one."""
_SHAPES: dict[Any, Callable[..., Tensor]] = {
    torch.randn: torch.empty,
    nn.init.normal_: lambda tensor, **_: tensor,
    # of spectral norms
    nn.functional.normalize: lambda x, **_: x,
    torch.mv: lambda matrix, _: matrix.new_empty(len(matrix)),
    torch.vdot: lambda x, _: x.new_empty(()),
}
"""What is left of functions without numbers."""


@contextmanager
def shapes_only() -> Iterator[None]:
    """Build modules on the meta device within the block."""
    with torch.device("meta"), _NoNumbers():
        yield


class _NoNumbers(TorchFunctionMode):
    """Leaves out what draws, scales or normalises initial weights.

    Without numbers it has no effect, and torch would import its compiler for it, which takes longer than reading a
    checkpoint.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do to shapes what a function does."""
        kwargs = kwargs or {}
        if func in _SHAPES:
            return _SHAPES[func](*args, **kwargs)
        given = (*args[1:], *kwargs.values())
        if (
            func in _CHANGES
            and args[0].is_floating_point()
            and not any(isinstance(x, Tensor) and x.ndim for x in given)
        ):
            return args[0]
        return func(*args, **kwargs)
