"""Networks in safetensors files: tensors, and a description as JSON in the file's metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dualgan.files.atomic import replacing

_KEY = "dualgan"


def write_safetensors(path: Path, header: dict[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write tensors and what describes them; a kill leaves no file that is half there.

    Args:
        path: File to write.
        header: Plain data; see `dualgan.weights.checkpoints.header`.
        state: Tensors under "generator_ema." and so on.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with replacing(path) as partial:
        partial.write_bytes(save(tensors, metadata={_KEY: json.dumps(header)}))  # `save_file` hides it from other users


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a file of `write_safetensors`, on the CPU.

    Returns:
        "dualgan", the header, and "state_dict", the tensors.

    Raises:
        ValueError: It is damaged, or describes no networks of ours.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
    except SafetensorError as error:
        raise ValueError(
            f"cannot read {path} as safetensors ({error}): it may be cut off or of another kind"
        ) from error
    if text is None:
        raise ValueError(f"{path} does not describe its networks: expected a file of `dualgan export` or `import`")
    return {"dualgan": _header(text, path), "state_dict": state}


def _header(text: str, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged description of its networks: export them once more") from error
    if not isinstance(header, dict) or not isinstance(header.get("format_version"), int):
        raise ValueError(f"{path} has a damaged description of its networks: export them once more")
    return header
