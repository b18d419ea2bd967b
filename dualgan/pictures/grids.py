"""Grids of images as PNG files."""

import io
import math
import re
import zipfile
from collections.abc import Container, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image
from torch import Tensor


def grid(images: Tensor, columns: int | None = None) -> np.ndarray:
    """Arrange uint8 images [N, H, W, C] in rows; [rows * H, columns * W, C]. Empty places stay black.

    Args:
        images: The images, in reading order.
        columns: Images per row; about square by default.
    """
    array = images.cpu().numpy()
    n, h, w, c = array.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    padded = np.zeros((rows * columns, h, w, c), dtype=np.uint8)
    padded[:n] = array
    return padded.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)


def arrange_rows(parts: Sequence[Tensor], most: int) -> np.ndarray:
    """Arrange images so that every part, uint8 [N, H, W, C] with any N, begins a row of its own.

    Args:
        parts: The images of every part, 1 or more.
        most: Images per row; rows are as long as the longest part needs.
    """
    columns = min(most, max(map(len, parts)))
    return np.concatenate([grid(part, columns) for part in parts])


def image_name(seed: int) -> str:
    """Name of the file with the image of a seed."""
    return f"seed{seed:06d}.png"


def existing_images(out: Path, seeds: Container[int]) -> list[Path]:
    """Files that the images of some seeds would replace: of them in a folder, or the whole zip file."""
    if out.suffix == ".zip":
        return [out] if out.exists() else []
    found = ((re.fullmatch(r"seed(\d{6,19})\.png", path.name), path) for path in out.glob("seed*.png"))
    return sorted(path for match, path in found if match and int(match[1]) in seeds)


def refuse_to_replace(existing: Sequence[Path], overwrite: bool, option: str = "--overwrite") -> None:
    """Never write over images that are there, unless `overwrite` says so.

    Raises:
        ValueError: There are some.
    """
    if existing and not overwrite:
        raise ValueError(
            f"{existing[0]} is there already{f', with {len(existing) - 1:,} more' if existing[1:] else ''}: give "
            f"another place, or {option} to replace {'them' if existing[1:] else 'it'}"
        )


def to_pil(image: np.ndarray) -> Image.Image:
    """A uint8 image [H, W, 1 or 3] as Pillow's."""
    return Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)


def png(image: np.ndarray, effort: int = 6) -> bytes:
    """A uint8 image [H, W, 1 or 3] as the content of a PNG file; with less effort, 0 to 9, faster and larger."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG", compress_level=effort)
    return buffer.getvalue()


def save_png(image: np.ndarray, path: Path) -> None:
    """Write a uint8 image [H, W, 1 or 3], making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_pil(image).save(path)


class ImageWriter:
    """Writes images as PNG into a folder or a zip file. A context manager: without an error, leaving it finishes.

    A zip file appears under its name when it is whole.

    Args:
        path: Folder, or file that ends in .zip. Existing files of the same name are replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        zipped = path.suffix == ".zip"
        (path.parent if zipped else path).mkdir(parents=True, exist_ok=True)
        self.archive = zipfile.ZipFile(self.partial, "w") if zipped else None  # stored: PNG does not get smaller

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.close(keep=error is None)

    def write(self, image: Tensor, name: str) -> None:
        """Write one uint8 image [H, W, C] under `name`."""
        content = png(image.cpu().numpy())
        if self.archive is None:
            (self.path / name).write_bytes(content)
        else:
            self.archive.writestr(name, content)

    def close(self, keep: bool = True) -> None:
        """Finish the file."""
        if self.archive is not None:
            self.archive.close()
            self.archive = None
            self.partial.replace(self.path) if keep else self.partial.unlink()

    def discard(self) -> None:
        """Remove an unfinished zip file."""
        self.close(keep=False)


def merge_zips(parts: list[Path], path: Path) -> None:
    """Join zip files into one, sorted by the names of their files, and remove them."""
    partial = path.with_name(path.name + ".partial")
    with ExitStack() as stack:
        whole = stack.enter_context(zipfile.ZipFile(partial, "w"))
        archives = [stack.enter_context(zipfile.ZipFile(part)) for part in parts]
        for name, number in sorted((name, k) for k, archive in enumerate(archives) for name in archive.namelist()):
            whole.writestr(name, archives[number].read(name))
    partial.replace(path)
    for part in parts:
        part.unlink()
