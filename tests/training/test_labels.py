"""Classes of generated images in training."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dualgan.data import ImageFolder
from dualgan.training.labels import FakeLabels
from tests.tiny import tiny_gan, tiny_trainer, train


def test_classes_are_drawn_as_often_as_the_data_set_has_them() -> None:
    labels = FakeLabels(4, "dataset")
    assert labels.learn(torch.tensor([90, 0, 10, 0])) is None
    torch.manual_seed(0)
    drawn = labels.draw(10_000, torch.zeros(1, dtype=torch.int64))
    assert drawn is not None
    assert drawn.bincount(minlength=4)[[1, 3]].tolist() == [0, 0]
    assert float((drawn == 0).float().mean()) == pytest.approx(0.9, abs=0.02)


def test_other_sources() -> None:
    own = torch.tensor([2, 1])
    assert torch.equal(FakeLabels(3, "batch").draw(2, own), own)  # type: ignore[arg-type]
    assert FakeLabels(0, "dataset").draw(2, None) is None
    assert FakeLabels(0, "dataset").learn(None) is None
    assert FakeLabels(0, "batch").learn(None) == "fake_labels 'batch' has no effect: there are no classes"
    with pytest.raises(ValueError, match="unknown fake_labels 'uniform': expected 'dataset' or 'batch'"):
        FakeLabels(3, "uniform")  # type: ignore[arg-type]


def test_a_training_without_a_data_module_says_that_it_guesses() -> None:
    with pytest.warns(UserWarning, match="classes of generated images are those of the real ones of each step"):
        train(tiny_gan(num_classes=3), steps=1)


def test_both_players_and_path_length_draw_their_own_classes_from_the_data(tmp_path: Path) -> None:
    names = []
    for k in range(16):
        Image.fromarray(np.full((8, 8, 3), 16 * k, np.uint8)).save(tmp_path / f"{k:02}.png")
        names.append(f'["{k:02}.png", {2 if k < 12 else 0}]')
    (tmp_path / "dataset.json").write_text(f'{{"labels": [{", ".join(names)}]}}')
    data = ImageFolder(os.fspath(tmp_path), resolution=8, batch_size=8, use_labels=True)
    with pytest.raises(ValueError, match="num_classes 3 of the model does not fit the data, which has 2 classes"):
        tiny_trainer(1).fit(tiny_gan(num_classes=3), datamodule=data)
    gan = tiny_gan(num_classes=2, g_reg_interval=1)
    seen: dict[str, torch.Tensor] = {}
    draw = gan.draw_styles

    def noted(count: int, labels: Any, purpose: str, *rest: Any) -> Any:
        found = draw(count, labels, purpose, *rest)
        seen[purpose] = found.labels  # type: ignore[assignment]
        return found

    gan.draw_styles = noted  # type: ignore
    tiny_trainer(1).fit(gan, datamodule=data)
    assert gan.fake_labels.frequencies.tolist() == [4, 12]
    assert set(seen) == {"generator", "path_length", "fakes"}
    assert not torch.equal(seen["generator"], seen["fakes"])
