"""Tensors of a pickle that was read as records: sizes as they are declared, and the numbers themselves.

PyTorch pickles a tensor as a call of `torch._utils._rebuild_tensor_v2` on a storage, and a storage as bytes in the
format of `torch.save` before zip files: pickles for a magic number, a version, the machine, the storage's description
and its key, then the number of elements and the elements. torch.load(weights_only=True) reads them too, but takes the
memory that a file claims, unpacks zip files, and hashes a nested key without end.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from dualgan.weights.official.pickles import Call, Global, Persistent, UnreadablePickleError, read_pickle

NAMES = frozenset(
    {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.storage._load_from_bytes"}
)
MAX_DIMENSIONS = 8
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the file declares it: the storage's bytes, and which of its elements they are."""

    payload: bytes
    offset: int
    size: torch.Size
    stride: tuple[int, ...]

    def read(self) -> Tensor:
        """The tensor, in memory of its own, on the CPU and in the type of the file.

        Raises:
            UnreadablePickleError: The storage is damaged, or smaller than the tensor.
        """
        elements = _elements(self.payload)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        # A tensor that shows elements twice could be far larger than the file.
        if self.size.numel() > len(elements) or (self.size.numel() and last >= len(elements)):
            raise UnreadablePickleError(
                f"a tensor of shape {tuple(self.size)} has a storage of {len(elements)} elements"
            )
        return elements.as_strided(self.size, self.stride, self.offset).clone(memory_format=torch.contiguous_format)


def stored_tensor(value: Any) -> StoredTensor:
    """Take the record of a tensor or parameter apart; no memory is used for its elements.

    Raises:
        UnreadablePickleError: It is no such record, or not a well-formed one.
    """
    if isinstance(value, Call) and value.name == "torch._utils._rebuild_parameter" and value.arguments:
        value = value.arguments[0]
    if not isinstance(value, Call) or value.name != "torch._utils._rebuild_tensor_v2" or len(value.arguments) < 4:
        raise UnreadablePickleError("it has something else where a tensor belongs")
    storage, offset, size, stride = value.arguments[:4]
    if not isinstance(storage, Call) or storage.name != "torch.storage._load_from_bytes":
        raise UnreadablePickleError("it has something else where a tensor's storage belongs")
    tuples = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= MAX_DIMENSIONS
    if not tuples or not all(isinstance(n, int) and 0 <= n < 2**40 for n in (offset, *size, *stride)):
        raise UnreadablePickleError("a tensor's shape is damaged")
    if len(storage.arguments) != 1 or not isinstance(storage.arguments[0], bytes):
        raise UnreadablePickleError("a tensor's storage holds no bytes")
    return StoredTensor(storage.arguments[0], offset, torch.Size(size), stride)


def _elements(payload: bytes) -> Tensor:
    """All elements of a storage, as one row."""
    file = BytesIO(payload)
    magic, _version, _machine, storage = (read_pickle(file, _DTYPES) for _ in range(4))
    identity = storage.identity if isinstance(storage, Persistent) else None
    if magic != _MAGIC_NUMBER or not isinstance(identity, tuple) or len(identity) < 5:
        raise UnreadablePickleError("a tensor's storage is not in the format of torch.save")
    read_pickle(file, ())  # the storage's key
    kind, count = identity[1], int.from_bytes(file.read(8), "little")
    if not isinstance(kind, Global):
        raise UnreadablePickleError("a tensor's storage does not say what it holds")
    dtype = _DTYPES[kind.name]
    if count != identity[4] or count * dtype.itemsize > len(payload) - file.tell():
        raise UnreadablePickleError(f"a tensor's storage declares {identity[4]} elements and has fewer bytes")
    if not count:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(file.read(count * dtype.itemsize)), dtype=dtype)
