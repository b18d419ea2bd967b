"""`dualgan attention`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualgan.commands.attention import parse_positions
from dualgan.networks.attention import DFN, SAN
from dualgan.pictures.figures import render
from dualgan.studies.attention import draw_attention
from dualgan.weights.checkpoints import load_generator
from tests.conftest import RunCLI

Checkpoint = Callable[..., Path]
WITH_SAN = {"attention": SAN, "attention_resolution": 8}


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_positions_are_rows_and_columns() -> None:
    assert parse_positions(["0.25,0.5", "0,0.999"]) == [(0.25, 0.5), (0, 0.999)]


def test_a_file_has_a_row_per_seed(run_cli: RunCLI, checkpoint: Checkpoint) -> None:
    path = checkpoint(**WITH_SAN)
    words = ("--seeds", "3,5", "--positions", "0.25,0.5", "0.7,0.3", "--truncation_psi", 0.7, "--out", "new/maps.png")
    assert "2 images to new/maps.png" in run_cli.succeeds("attention", "--ckpt", path, *words)
    expected = render(draw_attention(load_generator(path), [3, 5], [(0.25, 0.5), (0.7, 0.3)], truncation_psi=0.7))
    assert (pixels("new/maps.png") == expected).all()


def test_a_folder_gets_a_figure_per_seed(run_cli: RunCLI, checkpoint: Checkpoint) -> None:
    out = run_cli.succeeds("attention", "--ckpt", checkpoint(**WITH_SAN), "--seeds", "1-2", "--out", "maps")
    assert "2 images to maps" in out
    one, two = sorted(Path("maps").iterdir())
    assert (one.name, two.name) == ("seed000001.png", "seed000002.png")
    assert pixels(one).shape == pixels(two).shape
    assert (pixels(one) != pixels(two)).any()


def test_label_chooses_the_class(run_cli: RunCLI, checkpoint: Checkpoint) -> None:
    path = checkpoint(num_classes=3, **WITH_SAN)
    for label in (0, 2):
        run_cli.succeeds("attention", "--ckpt", path, "--seeds", "0", "--out", f"{label}.png", "--label", label)
    assert (pixels("0.png") != pixels("2.png")).any()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--positions 0.5", ["positions '0.5'", "0.25,0.5"]),
        ("--positions 0.5,up", ["positions '0.5,up'", "row,column"]),
        ("--positions 0.5,0.5,0.5", ["'0.5,0.5,0.5'"]),
        ("--positions 0.5,1", ["position 0.5,1 lies outside", "below 1"]),
        ("--positions=-0.5,0", ["position -0.5,0 lies outside"]),
        ("--positions" + 9 * " 0.5,0.5", ["9 positions", "1 to 8"]),
        ("--seeds x", ["seeds 'x'"]),
        ("--seeds 0-32 --out all.png", ["33 seeds", "folder"]),
        ("--out maps.jpg", ["maps.jpg", ".png"]),
        ("--label 1", ["no classes"]),
        ("--device abacus", ["abacus"]),
    ],
)
def test_bad_settings(words: str, expected: list[str], run_cli: RunCLI, checkpoint: Checkpoint) -> None:
    error = run_cli.fails("attention", "--ckpt", checkpoint(**WITH_SAN), "--out", "out", *words.split())
    assert all(text in error for text in expected), error
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, "--model.generator.attention SAN"), ({"attention": DFN, "attention_resolution": 8}, "DFN has no attention")],
)
def test_checkpoint_without_maps(
    settings: dict[str, Any], expected: str, run_cli: RunCLI, checkpoint: Checkpoint
) -> None:
    error = run_cli.fails("attention", "--ckpt", checkpoint(**settings), "--out", "out")
    assert expected in error
    assert not Path("out").exists()
