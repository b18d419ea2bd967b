"""Files of torch.save, read without running anything in them."""

import zipfile
from pathlib import Path
from typing import Any

import torch


def read_tensors(path: Path, mmap: bool = False) -> Any:
    """What torch.save has written: tensors and plain data; anything else in the file is refused, not run.

    Args:
        path: The file.
        mmap: Read tensors from the disk only when they are looked at.

    Raises:
        ValueError: Its parts are compressed, which torch.save never does, or claim more bytes than the file has.
        Exception: torch's unpickler and zip reader raise many kinds for files that are damaged or hold other objects.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("its parts are compressed, which torch.save never does: they may inflate to any size")
        claimed = sum(member.file_size for member in members)
        if claimed > path.stat().st_size:
            raise ValueError(f"its parts claim {claimed:,} bytes, more than the file has")
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
