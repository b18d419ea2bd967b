"""Files of torch.save."""

import os
from pathlib import Path

import pytest
import torch

from dualgan.files.torch_files import read_tensors


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", [b"\xd0\xbf.ckpt", b"\xff.ckpt"])
def test_names_may_be_any_bytes(name: bytes, mmap: bool, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    with path.open("wb") as file:
        torch.save({"weight": torch.arange(3)}, file)
    assert torch.equal(read_tensors(path, mmap=mmap)["weight"], torch.arange(3))
