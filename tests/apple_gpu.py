"""A stand-in for Apple's GPU: a device that computes on the CPU and refuses float64, as theirs does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")  # the one device beside the CPU whose gradients torch takes everywhere
_WIDE = (torch.float64, torch.complex128)


class _OnDevice(Tensor):
    """A tensor that says it lies on the device, around one on the CPU that has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "_OnDevice":
        _refuse_wide(held)
        made: _OnDevice = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=DEVICE,
        )  # fmt: skip
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, kwargs or {})


class _Device(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _ListIndices(TorchFunctionMode):
    """Makes tensors of lists in an index, which torch would make empty ones of for this device."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.__getitem__ and isinstance(args[1], tuple):
            args = (args[0], tuple(torch.tensor(index) if isinstance(index, list) else index for index in args[1]))
        return function(*args, **(kwargs or {}))


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    on_device = {id(leaf.held): leaf for leaf in tensors if isinstance(leaf, _OnDevice)}
    wanted = kwargs.get("device")
    there = bool(on_device) if wanted is None else torch.device(wanted).type == DEVICE.type
    if there:
        for leaf in tensors:
            _refuse_wide(leaf)
    if on_device and wanted is None and "copy_" not in str(function) and "index" not in str(function):
        strangers = [leaf for leaf in tensors if not isinstance(leaf, _OnDevice) and leaf.dim()]
        assert not strangers, f"{function}: some tensors are on the device and some on the CPU"
    if wanted is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    out = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    if not there:
        return out
    # what an operator on its argument returns is that argument
    wrapped = lambda x: on_device[id(x)] if id(x) in on_device else _OnDevice(x)  # noqa: E731
    return tree_map(lambda x: wrapped(x) if isinstance(x, Tensor) else x, out)  # type: ignore[no-untyped-call]


def _held(x: Any) -> Any:
    return x.held if isinstance(x, _OnDevice) else x


def _refuse_wide(x: Tensor) -> None:
    if x.dtype in _WIDE:
        raise TypeError(f"Cannot convert a MPS Tensor to {x.dtype}: the MPS framework doesn't support float64")


@contextmanager
def apple_gpu() -> Iterator[torch.device]:
    """The device, inside of the block."""
    # torch's inference mode knows no tensors like these, nor does it where it decorates functions already
    plain = {"__enter__": torch.no_grad.__enter__, "__exit__": torch.no_grad.__exit__}
    patched: Any = mock.patch.multiple(torch.inference_mode, **plain)  # type: ignore[call-overload]
    with patched, _Device(), _ListIndices():  # type: ignore[no-untyped-call]
        yield DEVICE
