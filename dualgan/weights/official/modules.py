"""Modules of official pickles as records: class names, attributes and tensors, without any of the classes."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from dualgan.files.kinds import PICKLE, kind_of
from dualgan.weights.official.pickles import Call, UnreadablePickleError, read_pickle
from dualgan.weights.official.tensors import NAMES, StoredTensor, stored_tensor

MAX_MODULES, MAX_DEPTH, MAX_NAME = 2000, 8, 100
_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
_SCALARS = frozenset({"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"})
_ALLOWED = frozenset({_PERSISTENT, "numpy.dtype", *NAMES, *_SCALARS})
_TENSORFLOW = "dnnlib.tflib"


@dataclass(frozen=True)
class Record:
    """One module: names from the network to it, joined by dots ("" is the network), and what its `__dict__` held."""

    path: str
    class_name: str
    attributes: dict[str, Any]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    def tensors(self) -> Iterator[tuple[str, StoredTensor]]:
        """Parameters and buffers under their names in a state dict."""
        for kind in ("_parameters", "_buffers"):
            for name, value in _dictionary(self.attributes.get(kind)).items():
                if value is not None:
                    yield f"{self.path}.{name}".lstrip("."), stored_tensor(value)


def read_official(path: Path) -> dict[Any, Any]:
    """The dictionary of an official pickle; networks are not interpreted yet.

    Raises:
        UnreadablePickleError: It is something else, or asks for something that only running it could give.
    """
    try:
        content = read_pickle(BytesIO(path.read_bytes()), _ALLOWED)
    except UnreadablePickleError as error:
        if _TENSORFLOW in str(error):
            raise UnreadablePickleError(
                "it is a TensorFlow network of the first StyleGAN2 repositories: convert it with legacy.py of NVIDIA's "
                "PyTorch repository first"
            ) from error
        if (kind := kind_of(path)) not in (PICKLE, None):
            raise UnreadablePickleError(f"it seems to be {kind}") from error
        raise
    if not isinstance(content, dict):
        raise UnreadablePickleError("it holds no dictionary of G, D and G_ema")
    return content


def modules_of(network: Any) -> list[Record]:
    """The module and all below it, parents first.

    Raises:
        UnreadablePickleError: It is no module, or nested without end.
    """
    found: list[Record] = []
    _collect(network, "", found)
    return found


def _collect(value: Any, path: str, found: list[Record]) -> None:
    if len(found) >= MAX_MODULES or path.count(".") >= MAX_DEPTH:
        raise UnreadablePickleError(f"its networks have more than {MAX_MODULES} modules or {MAX_DEPTH} levels")
    made = isinstance(value, Call) and value.name == _PERSISTENT and len(value.arguments) == 1
    description = _dictionary(value.arguments[0]) if made else {}
    class_name = description.get("class_name")
    if description.get("type") != "class" or not isinstance(class_name, str):
        raise UnreadablePickleError(f"{path or 'a network'} is no module of an official repository")
    attributes = _dictionary(description.get("state"))
    found.append(Record(path, class_name, attributes))
    for name, child in _dictionary(attributes.get("_modules")).items():
        if child is not None:
            _collect(child, f"{path}.{name}".lstrip("."), found)


def _dictionary(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) and len(key) <= MAX_NAME for key in value):
        raise UnreadablePickleError("something else stands where a module's attributes belong")
    return value


def plain(value: Any) -> Any:
    """A number that NumPy has pickled as Python's own; everything else as it is."""
    if not isinstance(value, Call) or value.name not in _SCALARS or len(value.arguments) != 2:
        return value
    kind, content = value.arguments
    code = kind.arguments[0] if isinstance(kind, Call) and kind.arguments else None
    formats = {"f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q", "b1": "<?"}
    if not isinstance(code, str) or code not in formats or not isinstance(content, bytes):
        return value
    return struct.unpack(formats[code], content)[0] if len(content) == struct.calcsize(formats[code]) else value
