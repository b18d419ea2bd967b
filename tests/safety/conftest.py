"""Hostile content that would leave a mark if any of it ran."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Evil:
    """An object whose pickle runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that code in a hostile file would make; a test that uses it fails if it is there at the end."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists(), "code from a file was run"
