"""`dualgan inspect` on small sets whose numbers are known."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualgan.commands import inspect
from dualgan.data import ImageFolder
from dualgan.pictures.contact_sheet import TILE
from tests.conftest import RunCLI
from tests.data.image_sets import flat, save


@pytest.fixture
def folder(in_empty_folder: Path) -> Path:
    root = in_empty_folder / "set"
    root.mkdir()
    return root


def noise(seed: int, height: int = 16, width: int = 16) -> np.ndarray:
    """A smooth picture of its own per seed."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def report(run_cli: RunCLI, *words: object) -> dict[str, Any]:
    run_cli.succeeds("inspect", *words, "--json", "report.json")
    content: dict[str, Any] = json.loads(Path("report.json").read_text())
    return content


def test_numbers_are_those_of_the_set(folder: Path, run_cli: RunCLI) -> None:
    sides = [(16, 16), (16, 16), (20, 40), (8, 9)]
    images = [noise(number, *side) for number, side in enumerate(sides)]
    for number, image in enumerate(images):
        save(folder / f"{number}.{'png' if number else 'bmp'}", image)
    found = report(run_cli, "set", "--resolution", 16)
    assert found["images"] == 4
    assert found["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert found["formats"] == {"PNG": 3, "BMP": 1}
    assert found["width"] == {"min": 9, "median": 16, "max": 40}
    assert found["height"] == {"min": 8, "median": 16, "max": 20}
    assert found["sizes"] == {"16x16": 2, "40x20": 1, "9x8": 1}
    assert (found["not_square"], found["smaller_than_resolution"]) == (2, 1)
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float) / 255
    np.testing.assert_allclose(found["mean"], pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found["std"], pixels.std(0), rtol=1e-10)


def test_fingerprint_is_that_of_a_training(folder: Path, run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        save(folder / f"{number}.png", noise(number, 32, 32))
    (folder / "broken.png").write_bytes(b"")
    settings: dict[str, Any] = {"resolution": 16, "resize_filter": "box", "num_channels": 1}
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    found = report(run_cli, "set", *words)["training"]
    data = ImageFolder("set", **settings, skip_bad_images=True, num_workers=0)
    monkeypatch.setattr("dualgan.data.files.base.decode", None)  # a training need not check the images again
    with pytest.warns(UserWarning, match="going on without 1 image"):
        assert found["fingerprint"] == data.fingerprint


def test_duplicates_are_told_from_near_duplicates(folder: Path, run_cli: RunCLI) -> None:
    for number in range(6):
        save(folder / f"{number}.png", noise(number, 64, 64))
    shutil.copy(folder / "1.png", folder / "copied.png")
    save(folder / "again.bmp", noise(1, 64, 64))
    save(folder / "smaller.jpg", noise(2, 48, 48))
    found = report(run_cli, "set")
    assert found["same_files"] == [["1.png", "copied.png"]]
    assert found["same_pixels"] == [["1.png", "again.bmp", "copied.png"]]
    assert found["near"] == [["2.png", "smaller.jpg"]]
    with Image.open("contact_sheet.duplicates.png") as sheet:
        assert sheet.width > 4 * TILE  # two pairs side by side
    assert "same pixels    surplus 2, groups 1" in run_cli.succeeds("inspect", "set")
    assert 0 < found["near_distances"][0][0] < 0.05
    assert f"2.png, smaller.jpg ({found['near_distances'][0][0]:.3f})" in run_cli.succeeds("inspect", "set")
    assert report(run_cli, "set", "--near_distance", 0.99)["near"] == [
        [*(f"{number}.png" for number in range(6)), "smaller.jpg"]
    ]


def test_broken_and_left_out_files_are_named(folder: Path, run_cli: RunCLI) -> None:
    save(folder / "good.png", noise(0))
    (folder / "empty.png").write_bytes(b"")
    (folder / "more.zip").write_bytes(b"")
    (folder / "loop").symlink_to(folder)
    out = run_cli.succeeds("inspect", "set")
    assert "empty.png: the file is empty" in out
    assert "left out links to folders (1, such as 'loop')" in out
    assert "left out zip files inside, which are not opened (1, such as 'more.zip')" in out
    assert "without the undecodable files" in out


def test_set_that_a_training_refuses_is_described_all_the_same(folder: Path, run_cli: RunCLI) -> None:
    save(folder / "gray.png", flat(51, 51, 51), "L")
    save(folder / "color.png", flat(255, 0, 0))
    found = report(run_cli, "set")
    assert found["modes"] == {"RGB": 1, "L": 1}
    assert found["mean"] == pytest.approx([0.6, 0.1, 0.1])
    assert found["training"]["fingerprint"] is None
    assert "mixes 1 gray images" in found["training"]["problem"]
    assert len(report(run_cli, "set", "--num_channels", 1)["mean"]) == 1
    (folder / "gray.png").write_bytes(b"")
    (folder / "color.png").write_bytes(b"")
    assert "no image can be decoded" in run_cli.succeeds("inspect", "set")


def test_classes_are_counted(folder: Path, run_cli: RunCLI) -> None:
    for number in range(3):
        save(folder / f"{number}.png", noise(number))
    assert "classes        none" in run_cli.succeeds("inspect", "set")
    labels = {"labels": [["0.png", 1], ["1.png", 0], ["2.png", 1]]}
    (folder / "dataset.json").write_text(json.dumps(labels))
    assert report(run_cli, "set")["classes"] == {"0": 1, "1": 2}
    assert "classes        2 (0: 1, 1: 2)" in run_cli.succeeds("inspect", "set")


def test_contact_sheet_shows_the_images_that_the_seed_draws(folder: Path, run_cli: RunCLI) -> None:
    for number in range(10):
        save(folder / f"{number}.png", flat(20 * number, 0, 0))

    def drawn(*words: object) -> list[int]:
        run_cli.succeeds("inspect", "set", "--out", "sheets", "--rows", 1, "--columns", 4, *words)
        with Image.open("sheets/contact_sheet.png") as sheet:
            row = np.asarray(sheet)[-40]
        inside = row[(row[:, 1] == 0) & (row[:, 2] == 0)]
        assert len(inside) == 4 * TILE
        return [int(red) // 20 for red in inside[::TILE, 0]]

    assert drawn("--seed", "null") == [0, 1, 2, 3]
    assert drawn("--seed", 5) == drawn("--seed", 5) != drawn("--seed", 6)


def test_resolution_is_that_of_most_images_unless_given(folder: Path, run_cli: RunCLI) -> None:
    for number, side in enumerate((10, 40, 70)):
        save(folder / f"{number}.png", noise(number, side, side))
    assert report(run_cli, "set")["training"]["resolution"] == 32
    assert report(run_cli, "set", "--resolution", 64)["smaller_than_resolution"] == 2


def test_packed_set_gives_the_fingerprint_and_levels_of_its_source(folder: Path, run_cli: RunCLI) -> None:
    for number in range(4):
        save(folder / f"{number}.png", noise(number))
    run_cli.succeeds("prepare", "set", "packed", "--resolution", 16, "--workers", 1)
    source, packed = report(run_cli, "set"), report(run_cli, "packed")
    assert packed["formats"] == {"packed": 4}
    assert packed["mean"] == source["mean"]
    assert packed["training"]["fingerprint"] == source["training"]["fingerprint"] is not None


def test_mistakes_are_explained(folder: Path, run_cli: RunCLI) -> None:
    assert "inspect needs a folder or zip" in run_cli.fails("inspect")
    assert "no folder or zip of images at 'nowhere'" in run_cli.fails("inspect", "nowhere")
    (folder / "inner.zip").write_bytes(b"")
    assert "'set' holds no images" in run_cli.fails("inspect", "set")
    assert "inner.zip" in run_cli.fails("inspect", "set")
    assert "resolution 2000 is out of range" in run_cli.fails("inspect", "set", "--resolution", 2000)
    assert "near_distance 4 is out of range" in run_cli.fails("inspect", "set", "--near_distance", 4)
    assert "rows 0 is too small" in run_cli.fails("inspect", "set", "--rows", 0)


def test_names_are_printed_on_one_line() -> None:
    assert inspect._plain("über 写真.png") == "über 写真.png"
    assert inspect._plain("a\nb\udcff") == "a\\nb\\udcff"
