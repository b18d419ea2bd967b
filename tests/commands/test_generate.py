"""`dualgan generate`."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualgan.terminal.options import parse_seeds
from tests.conftest import RunCLI


def image(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened, int)


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-3", [0, 1, 2, 3]), ("5", [5]), ("1,5,10-12", [1, 5, 10, 11, 12]), (" 2 , 4-4", [2, 4])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert list(parse_seeds(text)) == seeds


@pytest.mark.parametrize("text", ["abc", "", "5-3", "1-", "-1", "1,,2", "1.5"])
def test_bad_seeds_are_refused_before_the_checkpoint_is_read(text: str, run_cli: RunCLI) -> None:
    error = run_cli.fails("generate", "--ckpt", "nowhere.ckpt", "--out", "out", f"--seeds={text}")
    assert "seeds" in error
    assert text in error


def test_same_seed_same_image_whatever_the_batch(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    path = checkpoint()
    for batch_size, out in ((1, "one"), (5, "five")):
        run_cli.succeeds("generate", "--ckpt", path, "--out", out, "--seeds", "3-7", "--batch_size", batch_size)
    assert len(list(Path("one").iterdir())) == 5
    for one in Path("one").iterdir():
        assert np.abs(image(one) - image(Path("five") / one.name)).max() <= 1
    assert np.abs(image(Path("one/seed000003.png")) - image(Path("one/seed000004.png"))).max() > 1


def test_grid_beside_the_images(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    run_cli.succeeds("generate", "--ckpt", checkpoint(), "--out", "out", "--seeds", "0-3", "--grid")
    assert image(Path("out.grid.png")).shape == (16, 16, 3)
    assert (image(Path("out.grid.png"))[:8, 8:] == image(Path("out/seed000001.png"))).all()
    assert len(list(Path("out").iterdir())) == 4  # images of one size, which can be scored


def test_a_place_that_cannot_be_written_is_named(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    Path("file").touch()
    for out in ("file", "file/below"):
        error = run_cli.fails("generate", "--ckpt", checkpoint(), "--out", out, "--seeds", "0")
        assert "file" in error
        assert "cannot be read or written" in error


def test_zip(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    out = run_cli.succeeds("generate", "--ckpt", checkpoint(), "--seeds", "0-1", "--out", "out.zip", "--grid")
    assert "Wrote 2 images to out.zip" in out
    with zipfile.ZipFile("out.zip") as archive:
        assert archive.namelist() == ["seed000000.png", "seed000001.png"]
    assert Path("out.grid.png").is_file()
    assert not list(Path().glob("*.partial"))


def test_gray(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    run_cli.succeeds("generate", "--ckpt", checkpoint(num_channels=1), "--seeds", "0", "--out", "out")
    assert image(Path("out/seed000000.png")).shape == (8, 8)


def test_truncation_to_nothing_gives_one_image(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    run_cli.succeeds("generate", "--ckpt", checkpoint(), "--seeds", "0-1", "--truncation_psi", 0, "--out", "out")
    assert (image(Path("out/seed000000.png")) == image(Path("out/seed000001.png"))).all()


def test_label_chooses_the_class(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    path = checkpoint(num_classes=3)
    for label in (0, 2):
        run_cli.succeeds("generate", "--ckpt", path, "--seeds", "0", "--out", f"class{label}", "--label", label)
    assert (image(Path("class0/seed000000.png")) != image(Path("class2/seed000000.png"))).any()
    assert "0 to 2" in run_cli.fails("generate", "--ckpt", path, "--seeds", "0", "--out", "out", "--label", 3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--label 1", "no classes"),
        ("--batch_size 0", "batch_size 0"),
        ("--device abacus", "abacus"),
        ("--noise_mode loud", "const"),
        ("--sed 1", "--seeds"),
    ],
)
def test_bad_settings(words: str, expected: str, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    assert expected in run_cli.fails("generate", "--ckpt", checkpoint(), "--out", "out", *words.split())


def test_file_that_is_no_checkpoint(run_cli: RunCLI, in_empty_folder: Path) -> None:
    (in_empty_folder / "text.ckpt").write_text("hello")
    assert "text.ckpt" in run_cli.fails("generate", "--ckpt", "text.ckpt", "--out", "out")
    assert "nowhere.ckpt" in run_cli.fails("generate", "--ckpt", "nowhere.ckpt", "--out", "out")
