"""Files of torch.save, read without running anything in them."""

import pickletools
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch

MAX_VALUES = 2**10  # of a tuple: the state of Python's random numbers, the largest in checkpoints, has 625


def read_tensors(path: Path, mmap: bool = False) -> Any:
    """What torch.save has written: tensors and plain data; anything else in the file is refused, not run.

    Args:
        path: The file.
        mmap: Read tensors from the disk only when they are looked at.

    Raises:
        ValueError: Its parts are compressed, which torch.save never does, or claim more bytes than the file has; or a
            tuple in it takes much longer to hash than to read.
        Exception: torch's unpickler and zip reader raise many kinds for files that are damaged or hold other objects.
    """
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":  # so torch tells its two formats apart
            _check_zip(path)
        else:
            file.seek(0)
            for _ in range(5):  # a magic number, a version, the machine, the content, the keys of storages
                _check_tuples(file)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("its parts are compressed, which torch.save never does: they may inflate to any size")
        claimed = sum(member.file_size for member in members)
        if claimed > path.stat().st_size:
            raise ValueError(f"its parts claim {claimed:,} bytes, more than the file has")
        for member in members:
            if member.filename.lower().endswith(".pkl"):
                _check_tuples(BytesIO(archive.read(member)))


def _check_tuples(file: BinaryIO) -> None:
    """Follow the stack of one pickle, and refuse tuples that unfold to more than `MAX_VALUES`.

    One that holds another twice, which holds another twice and so on, takes 2^n steps to hash for n bytes, and deeply
    nested ones overflow the stack. Only names are called: torch prints anything else, however far it unfolds.
    """
    stack: list[int] = []  # values that each one unfolds to, 0 for a name
    marks: list[int] = []
    memo: dict[Any, int] = {}
    for operation, argument, _ in pickletools.genops(file):
        name, needs = operation.name, operation.stack_before
        if name == "MARK":
            marks.append(len(stack))
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        else:
            marked = pickletools.markobject in needs
            start = marks.pop() - needs.index(pickletools.markobject) if marked else len(stack) - len(needs)
            taken, stack[start:] = stack[start:], []
            if name in ("REDUCE", "NEWOBJ") and taken[0]:
                raise ValueError("it calls what is no function")
            values = 0 if name == "GLOBAL" else 1 + sum(taken) if name.startswith("TUPLE") else 1
            if values > MAX_VALUES:
                raise ValueError(f"a tuple in it unfolds to more than {MAX_VALUES:,} values")
            stack += [values] * len(operation.stack_after)
