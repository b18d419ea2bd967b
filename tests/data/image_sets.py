"""Small image files, and the data module over them."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dualgan.data import ImageFolder

COLORFUL = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)


def make(root: Path, **changes: Any) -> ImageFolder:
    settings = {"resolution": 8, "batch_size": 1, "num_workers": 0, "cache_dir": str(root.parent / "cache")}
    data = ImageFolder(str(root), **{**settings, **changes})
    data.prepare_data()
    data.setup("fit")
    return data


def images(data: ImageFolder) -> Tensor:
    return torch.cat([batch.images for batch in data.reference_dataloader()])


def save(path: Path, pixels: NDArray[Any] = COLORFUL, mode: str | None = None, **options: Any) -> None:
    image = Image.fromarray(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    (image.convert(mode) if mode else image).save(path, **options)


def flat(*color: int, side: int = 8) -> NDArray[np.uint8]:
    return np.full((side, side, len(color)), color, np.uint8)


def png(header: tuple[int, int, int, int], rows: bytes) -> bytes:
    """A PNG of (width, height, bits, colour type), for what Pillow does not write; rows begin with their filter."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", *header, 0, 0, 0), b"IDAT": zlib.compress(rows, 1), b"IEND": b""}
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    ]
    return b"".join([b"\x89PNG\r\n\x1a\n", *parts])
