"""Files of torch.save, read without running anything in them."""

import os
import pickletools
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch

from dualgan.files.kinds import PICKLE, TORCH_ZIP, kind_of

MAX_VALUES = 2**10  # of a tuple: the state of Python's random numbers, the largest in checkpoints, has 625


# Names in every file of tensors. torch decides what is called; this only finds the name that is worth mentioning.
_USUAL = re.compile(
    r"torch\.(\w*Storage|[a-z]+\d+|bool|Size|device)|torch\._utils\._rebuild_\w+|torch\.storage\._load_from_bytes|"
    r"torch\.nn\.parameter\.Parameter|collections\.\w+"
)


class UnreadableFileError(ValueError):
    """A file holds no tensors and plain data alone; the message says why, in words that follow the file's name."""


def read_tensors(path: Path, mmap: bool = False) -> Any:
    """What torch.save has written: tensors and plain data; anything else in the file is refused, not run.

    Args:
        path: The file.
        mmap: Read tensors from the disk only when they are looked at, where torch can do so.

    Raises:
        UnreadableFileError: It is of another kind, damaged or cut off; it asks for functions; its parts are compressed,
            which torch.save never does, or claim more bytes than the file has; or a tuple in it takes much longer to
            hash than to read.
        OSError: It cannot be opened.
    """
    kind = kind_of(path)
    if kind not in (TORCH_ZIP, PICKLE):
        raise UnreadableFileError(f"it seems to be {kind}" if kind else "it is damaged, or of an unknown kind")
    try:
        if kind == TORCH_ZIP:
            _check_zip(path)
        else:
            with path.open("rb") as file:
                for _ in range(5):  # a magic number, a version, the machine, the content, the keys of storages
                    _check_tuples(file)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and _can_be_mapped(path))
    except UnreadableFileError:
        raise
    except Exception as error:  # torch's unpickler and zip reader raise many kinds
        # Their words are not passed on: of files that ask for functions torch says how to run them all the same.
        raise UnreadableFileError(_why(path, kind)) from error


def _can_be_mapped(path: Path) -> bool:
    """Whether torch can: it wants the name as text, and names of files may be other bytes."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _why(path: Path, kind: str) -> str:
    """What keeps torch from reading a file."""
    asked = next((name for name in _names(path, kind) if not _USUAL.fullmatch(name)), None)
    if asked:
        return f"it asks for {asked[:200]!r}, which is never run"
    return "it is a pickle of other things" if kind == PICKLE and _is_one_pickle(path) else "it is cut off or damaged"


def _is_one_pickle(path: Path) -> bool:
    """Whether a file is one whole pickle: torch.save writes several, one after the other, or a zip file."""
    with path.open("rb") as file:
        try:
            for _ in pickletools.genops(file):
                pass
        except Exception:  # as pickletools meets a damaged file
            return False
        return not file.read(1)


def _names(path: Path, kind: str) -> Iterator[str]:
    """Functions and classes that the pickles of a file name, as far as they can be followed."""
    try:
        if kind == PICKLE:
            with path.open("rb") as file:
                while True:  # several, one after the other; the end of the file is an error
                    yield from _names_in(file)
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith("data.pkl"):
                    yield from _names_in(BytesIO(archive.read(member)))
    except Exception:  # as pickletools meets a damaged file
        return


def _names_in(file: BinaryIO) -> Iterator[str]:
    texts: list[str] = [""]  # pushed since the start
    memo: dict[int, str] = {}
    argument: Any
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL":
            yield argument.replace(" ", ".")
        elif operation.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif "UNICODE" in operation.name:
            texts.append(argument)
        elif operation.name == "MEMOIZE":
            memo[len(memo)] = texts[-1]
        elif operation.name in ("BINGET", "LONG_BINGET"):
            texts.append(memo.get(argument, ""))


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UnreadableFileError(
                "its parts are compressed, which torch.save never does: they may inflate to any size"
            )
        claimed = sum(member.file_size for member in members)
        if claimed > path.stat().st_size:
            raise UnreadableFileError(f"its parts claim {claimed:,} bytes, more than the file has")
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
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        else:
            marked = pickletools.markobject in needs
            start = marks.pop() - needs.index(pickletools.markobject) if marked else len(stack) - len(needs)
            taken, stack[start:] = stack[start:], []
            if name in ("REDUCE", "NEWOBJ") and taken[0]:
                raise UnreadableFileError("it calls what is no function")
            values = 0 if name in ("GLOBAL", "STACK_GLOBAL") else 1 + sum(taken) if name.startswith("TUPLE") else 1
            if values > MAX_VALUES:
                raise UnreadableFileError(f"a tuple in it unfolds to more than {MAX_VALUES:,} values")
            stack += [values] * len(operation.stack_after)
