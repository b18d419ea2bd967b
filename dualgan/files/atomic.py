"""Files that are made once and kept: the cache folder, atomic writes and their errors, content hashes."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_STALE_SECONDS = 24 * 3600


def cache_root(cache_dir: str | Path | None) -> Path:
    """Folder for cached files: `cache_dir`, else $DUALGAN_CACHE, else ~/.cache/dualgan."""
    return Path(cache_dir or os.environ.get("DUALGAN_CACHE") or "~/.cache/dualgan").expanduser()


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`, and move it there when the block ends well.

    Readers see the old file or the whole new one. Leftovers of killed runs are removed after a day.

    Args:
        path: the file to replace; its folder is made.
        durable: have the file and its name on the disk when the block ends, for what must outlive a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.partial"):
        # Younger ones may belong to another process that writes right now, and may be renamed or gone any moment.
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                leftover.unlink()
    partial = partial_of(path)
    try:
        yield partial
        if durable:
            sync(partial)
        partial.replace(path)
        if durable and os.name == "posix":  # elsewhere folders cannot be opened
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """A name beside `path` that no other process has, for what is to become that file."""
    return path.with_name(f".{path.name}.{os.urandom(6).hex()}.partial")


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, whatever happens to the process or the machine."""
    with replacing(path, durable=True) as partial:
        partial.write_bytes(content)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file; it is on the disk when this returns. A kill may leave a part of it."""
    with path.open("ab", buffering=0) as file:
        while content:
            content = content[file.write(content) :]
        os.fsync(file.fileno())


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, making its folder; what a kill has left of an earlier line stays a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begin = "\n" if path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n") else ""
    append(path, f"{begin}{line}\n".encode())


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which file could not be written: a full disk is noticed by calls that know no name, or a temporary one."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, atomically."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or None when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # the last one for values nested thousands deep
        return None


def digest(content: Any) -> str:
    """Short hash (16 hexadecimal digits) of JSON-like content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
