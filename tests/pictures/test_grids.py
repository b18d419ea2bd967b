"""Grids and image files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualgan.pictures.grids import ImageWriter, grid, merge_zips


def images(count: int, channels: int = 3) -> torch.Tensor:
    return torch.arange(1, count + 1, dtype=torch.uint8)[:, None, None, None].expand(count, 2, 2, channels)


def test_grid_reads_like_text() -> None:
    picture = grid(images(5), columns=3)
    assert picture.shape == (4, 6, 3)
    assert picture[::2, ::2, 0].tolist() == [[1, 2, 3], [4, 5, 0]]


@pytest.mark.parametrize(("count", "side"), [(1, 2), (4, 4), (9, 6)])
def test_grid_is_square_by_default(count: int, side: int) -> None:
    assert grid(images(count)).shape == (side, side, 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["folder", "file.zip"])
def test_writer_keeps_pixels(channels: int, name: str, tmp_path: Path) -> None:
    picture = torch.randint(256, (4, 4, channels), dtype=torch.uint8)
    with ImageWriter(tmp_path / name) as writer:
        writer.write(picture, "a.png")
    if name == "file.zip":
        with zipfile.ZipFile(tmp_path / name) as archive:
            archive.extractall(tmp_path / "folder")
    with Image.open(tmp_path / "folder" / "a.png") as found:
        assert np.array_equal(np.asarray(found).reshape(4, 4, channels), picture.numpy())


def write_and_fail(path: Path) -> None:
    with ImageWriter(path) as writer:
        writer.write(images(1)[0], "a.png")
        raise RuntimeError("stop")


def test_failure_leaves_the_old_zip(tmp_path: Path) -> None:
    path = tmp_path / "out.zip"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_merging_the_ranks_parts_restores_the_order(tmp_path: Path) -> None:
    parts = [tmp_path / f"{k}.zip" for k in range(2)]
    for k, part in enumerate(parts):
        with ImageWriter(part) as writer:
            for number in range(k, 4, 2):
                writer.write(images(4)[number], f"{number}.png")
    merge_zips(parts, tmp_path / "whole.zip")
    with zipfile.ZipFile(tmp_path / "whole.zip") as archive:
        assert archive.namelist() == ["0.png", "1.png", "2.png", "3.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["whole.zip"]
