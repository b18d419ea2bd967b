"""The figure of FakeCLR's forgetting factor."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualgan.pictures.figures import render
from dualgan.studies.forgetting import draw_forgetting, study_forgetting, weights_by_age
from tests.conftest import RunCLI, words


def test_newer_keys_weigh_more_and_a_low_temperature_gathers_the_weight() -> None:
    spread, gathered = (np.array(weights_by_age(200, temperature, 50)) for temperature in (1.0, 0.001))
    for weights in (spread, gathered):
        assert weights.sum() == pytest.approx(1)
        assert len(set(weights.tolist())) == 4  # one value for each of the four batches
        assert (np.diff(weights) <= 0).all()
    assert gathered[:50].sum() > 0.99
    assert spread.max() / spread.min() < 1.2


def test_the_command_draws_a_panel_for_every_queue(run_cli: RunCLI, in_empty_folder: Path) -> None:
    out = run_cli.succeeds("forgetting", *words("--queue_sizes 50 100 200 --temperatures 0.01 0.1 --out new/m.png"))
    assert "Wrote new/m.png" in out
    with Image.open("new/m.png") as one:
        assert one.width > 2 * one.height
    curves = json.loads(Path("new/m.json").read_text())["curves"]
    assert [(c["queue_size"], c["temperature"]) for c in curves] == [
        (size, temperature) for size in (50, 100, 200) for temperature in (0.01, 0.1)
    ]
    assert curves[0]["weights"] == pytest.approx([1 / 50] * 50)  # a queue of one batch is of one age


def test_the_axis_shows_numbers() -> None:
    figure = draw_forgetting(study_forgetting([100], [0.01], 50))
    render(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "0.01" in labels
    assert not any("$" in label for label in labels)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--queue_sizes 40", "queue size 40 with batch size 50: expected a queue of at least one batch"),
        ("--queue_sizes 200000", "queue size 200,000 is more than a figure can show: give 100,000 at most"),
        ("--batch_size 0", "queue size 200 with batch size 0"),
        ("--temperatures 0", "temperature 0 is out of range: expected a number above 0, such as 0.01"),
        ("--temperatures 1 2 3 4 5 6 7", "7 temperatures are more than a figure can show: give 6 at most"),
        ("--out m.pdf", "out 'm.pdf' has an unknown ending"),
    ],
)
def test_mistakes_are_named(given: str, message: str, run_cli: RunCLI) -> None:
    assert message in run_cli.fails("forgetting", "--out", "m.png", *words(given))
