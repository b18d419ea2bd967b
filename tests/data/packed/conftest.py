"""Sources to pack, and sets that are packed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dualgan.data import ImageFolder
from dualgan.data.batches import ImageSource


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sixty small JPEG and PNG images of several sizes."""
    folder = tmp_path / "images"
    for number in range(60):
        save(folder / f"{number % 3}" / f"{number:03}.{'png' if number % 2 else 'jpg'}", number)
    return folder


def pixels(number: int, height: int = 24, width: int = 20) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (height, width + number % 7, 3), np.uint8)


def save(path: Path, number: int = 0, gray: bool = False, **size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels(number, **size))
    (image.convert("L") if gray else image).save(path)


def raw(root: Path, **settings: Any) -> ImageSource:
    """The same images, decoded at every reading."""
    data = ImageFolder(str(root), **{"resolution": 8, "cache_dir": str(root.parent / "cache"), **settings})
    data.prepare_data()
    return data._open()


def everything(source: ImageSource) -> NDArray[np.uint8]:
    return source.read(np.arange(len(source)))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
