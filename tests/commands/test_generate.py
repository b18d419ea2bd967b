"""`dualgan generate`."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualgan import load_generator
from dualgan.networks.sampling import drawn_classes, generate
from dualgan.terminal.classes import chosen_class
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
    for out, problem in (("file", "is a file"), ("file/below", "cannot be written: 'file' is no folder")):
        error = run_cli.fails("generate", "--ckpt", checkpoint(), "--out", out, "--seeds", "0")
        assert error.startswith(f"out '{out}' {problem}")


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
    run_cli.succeeds("generate", "--ckpt", path, "--seeds", "0-3", "--out", "one", "--label", 1, "--grid")
    assert image(Path("one.grid.png")).shape == (16, 16, 3)
    assert "0 to 2" in run_cli.fails("generate", "--ckpt", path, "--seeds", "0", "--out", "out", "--label", 3)


ANIMALS = [("cat", 5), ("dog", 0), ("emu", 7)]
NUMBERS = [("0", 5), ("7", 3), ("999", 7)]


@pytest.mark.parametrize(
    ("classes", "word", "number"),
    [(ANIMALS, "emu", 2), (ANIMALS, "2", 2), (ANIMALS, "0", 0), (NUMBERS, "999", 2), (NUMBERS, "7", 1), ((), "2", 2)],
)
def test_a_class_is_chosen_by_its_name_or_number(
    classes: list[tuple[str, int]], word: str, number: int, run_cli: RunCLI, checkpoint: Callable[..., Path]
) -> None:
    path = checkpoint(num_classes=3, classes=classes)
    run_cli.succeeds("generate", "--ckpt", path, "--seeds", "3", "--out", "named", "--label", word)
    labels = torch.tensor([number])
    expected = next(generate(load_generator(path), [3], labels=labels)).squeeze(0)
    assert (image(Path("named/seed000003.png")) == expected.numpy()).all()


@pytest.mark.parametrize(
    ("classes", "word", "listed"),
    [
        (ANIMALS, "cats", "3 classes: cat, dog, emu"),
        (ANIMALS, "3", "3 classes: cat, dog, emu"),
        (NUMBERS, "1", "3 classes: 0, 7, 999"),  # names are numbers: 1 is not the second class
        ((), "cat", "the classes 0 to 2"),
    ],
)
def test_an_unknown_class_lists_those_there_are(
    classes: list[tuple[str, int]], word: str, listed: str, run_cli: RunCLI, checkpoint: Callable[..., Path]
) -> None:
    path = checkpoint(num_classes=3, classes=classes)
    error = run_cli.fails("generate", "--ckpt", path, "--seeds", "3", "--out", "named", "--label", word)
    assert f"label {word} is no class" in error
    assert listed in error


def test_of_many_classes_the_nearest_are_shown() -> None:
    names = [f"n{k:08}" for k in range(1000)]
    with pytest.raises(ValueError, match=r"1000 classes: n00000000, .*, \.\.\.\. Did you mean n00000777"):
        chosen_class("n0000777", names)


def test_seeds_draw_classes_that_had_images_alone_and_a_grid_has_a_row_for_each(
    run_cli: RunCLI, checkpoint: Callable[..., Path]
) -> None:
    path = checkpoint(num_classes=3, classes=ANIMALS)
    out = run_cli.succeeds("generate", "--ckpt", path, "--seeds", "0-19", "--out", "out", "--grid")
    (said,) = re.findall(r"from the top: cat \((\d+)\), emu \((\d+)\)\n", out)
    rows = [int(number) for number in said]
    assert sum(rows) == 20
    picture = image(Path("out.grid.png"))
    assert picture.shape == (2 * 8, max(rows) * 8, 3)
    drawn = drawn_classes(load_generator(path), range(20))
    assert drawn is not None
    for row, number in enumerate((0, 2)):
        for column, seed in enumerate((drawn == number).nonzero().flatten().tolist()):
            tile = picture[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            assert (tile == image(Path(f"out/seed{seed:06}.png"))).all()


def test_truncation_to_nothing_gives_one_image_of_every_class(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    path = checkpoint(num_classes=3, classes=ANIMALS)
    content = torch.load(path, weights_only=True)
    content["state_dict"]["generator_ema.mapping.w_shift_of_class"].normal_()
    torch.save(content, path)
    psi = ("--truncation_psi", 0)
    for label in ("cat", "emu"):
        run_cli.succeeds("generate", "--ckpt", path, "--seeds", "0-1", "--out", label, "--label", label, *psi)
        assert (image(Path(label) / "seed000000.png") == image(Path(label) / "seed000001.png")).all()
        run_cli.succeeds(
            "samples", "--ckpt", path, "--rows", 1, "--columns", 1, "--out", f"{label}.png", "--label", label, *psi
        )
        assert (image(Path(f"{label}.png")) == image(Path(label) / "seed000000.png")).all()
    assert (image(Path("cat/seed000000.png")) != image(Path("emu/seed000000.png"))).any()


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
