"""Networks in safetensors files: tensors, and a description as JSON in the file's metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dualgan.files.atomic import write_whole
from dualgan.files.kinds import SAFETENSORS, kind_of

_KEY = "dualgan"


def write_safetensors(path: Path, header: dict[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write tensors and what describes them; a kill leaves no file that is half there.

    Args:
        path: File to write.
        header: Plain data; see `dualgan.weights.checkpoints.header`.
        state: Tensors under "generator_ema." and so on.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_whole(path, save(tensors, metadata={_KEY: json.dumps(header)}))  # `save_file` hides it from other users


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a file of `write_safetensors`, on the CPU.

    Returns:
        "dualgan", the header as the file has it, and "state_dict", the tensors, those in half precision as float32: a
        file may be kept in fewer bits, networks compute with 32.

    Raises:
        ValueError: It is damaged, or describes no networks of ours.
    """
    state, texts = read_tensors_and_texts(path, "Export or download it once more")
    text = texts.get(_KEY)
    if text is None:
        raise ValueError(f"{path} does not describe its networks: expected a file of `dualgan export` or `import`")
    try:
        return {"dualgan": json.loads(text), "state_dict": state}
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged description of its networks: export them once more") from error


def read_tensors_and_texts(path: Path, advice: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file by their names, on the CPU, those in half precision as float32; and its texts.

    Raises:
        ValueError: It is damaged, or no such file; `advice` says what to do.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            texts = file.metadata() or {}
            tensors = {name: _whole(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118, it is no dictionary
    except SafetensorError as error:
        kind = kind_of(path)
        reason = f"it seems to be {kind}" if kind not in (None, SAFETENSORS) else "it is cut off or damaged"
        raise ValueError(f"cannot read {path} as safetensors: {reason} ({error}). {advice}") from error
    return tensors, texts


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with float16 in place of float32: all of a discriminator, and the kernels of generators.

    Kernels are most of a generator. Its mapping, styles and biases stay exact: their rounding alone would use up half
    of what images may differ by.
    """
    return {name: value.half() if _may_be_rounded(name, value) else value for name, value in state.items()}


def _may_be_rounded(name: str, value: Tensor) -> bool:
    return value.dtype == torch.float32 and (value.ndim == 4 or name.startswith("discriminator."))


def as_read_back(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as `read_safetensors` returns them."""
    return {name: _whole(value) for name, value in state.items()}


def _whole(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value
