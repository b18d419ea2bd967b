"""Sheets of samples."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dualgan.networks import StyleGAN2Generator
from dualgan.networks.base import NoiseMode
from dualgan.networks.classes import ImageClass
from dualgan.networks.sampling import generate
from dualgan.studies.samples import class_sheet, sample_sheet, truncation_sheet

Make = Callable[..., StyleGAN2Generator]


@pytest.mark.parametrize("channels", [1, 3])
def test_seeds_are_in_reading_order(channels: int, make_generator: Make) -> None:
    G = make_generator(channels)
    sheet = sample_sheet(G, 2, 3, seed=5)
    assert sheet.shape == (16, 24, channels)
    tiles = sheet.reshape(2, 8, 3, 8, channels).swapaxes(1, 2).reshape(6, 8, 8, channels)
    expected = torch.cat(list(generate(G, range(5, 11)))).numpy()
    assert np.abs(tiles.astype(int) - expected).max() <= 1


def test_rows_of_truncations_share_their_seeds(make_generator: Make) -> None:
    G = make_generator(num_classes=3)
    sheet = truncation_sheet(G, [0.0, 0.5, 1.0], 4, label=2)
    mean, half, full = sheet.reshape(3, 8, 4, 8, 3).swapaxes(1, 2)
    assert (mean == mean[0]).all()
    assert (full == sample_sheet(G, 1, 4, label=2).reshape(8, 4, 8, 3).swapaxes(0, 1)).all()
    assert (half != full).any()
    assert (full != sample_sheet(G, 1, 4, label=0).reshape(8, 4, 8, 3).swapaxes(0, 1)).any()


@pytest.mark.parametrize(("psi", "cutoff"), [(1.0, None), (0.4, 2)])
def test_rows_of_classes_share_their_seeds(psi: float, cutoff: int | None, make_generator: Make) -> None:
    G = make_generator(num_classes=3)
    G.classes = (ImageClass("cat", 3), ImageClass("emu", 0), ImageClass("dog", None))
    given: dict[str, Any] = {"seed": 2, "truncation_psi": psi, "truncation_cutoff": cutoff}
    sheet = class_sheet(G, 4, **given)
    assert sheet.shape == (16, 32, 3)
    for row, label in zip((sheet[:8], sheet[8:]), (0, 2), strict=True):  # no emu was ever seen
        assert (row == sample_sheet(G, 1, 4, label=label, **given)).all()


@pytest.mark.parametrize("mode", ["const", "none"])
def test_noise_is_that_of_the_generator(mode: NoiseMode, make_generator: Make) -> None:
    G = make_generator(num_classes=2)
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
    own = torch.cat(list(generate(G, [0, 1], labels=torch.tensor([1, 1]), noise_mode=mode))).numpy()
    for sheet in (
        sample_sheet(G, 1, 2, noise_mode=mode, label=1),
        truncation_sheet(G, [0.5, 1.0], 2, noise_mode=mode, label=1)[8:],
        class_sheet(G, 2, noise_mode=mode)[8:],
    ):
        np.testing.assert_array_equal(sheet, own.swapaxes(0, 1).reshape(8, 16, 3))


def test_a_sheet_of_no_classes(make_generator: Make) -> None:
    with pytest.raises(ValueError, match="a row per class needs classes, and this StyleGAN2Generator has none"):
        class_sheet(make_generator())


@pytest.mark.parametrize(
    ("rows", "columns", "seed", "expected"),
    [(0, 3, 0, "rows 0"), (3, 0, 0, "columns 0"), (1, 1, -1, "seed -1"), (101, 100, 0, "10000")],
)
def test_sheets_that_cannot_be(rows: int, columns: int, seed: int, expected: str, make_generator: Make) -> None:
    with pytest.raises(ValueError, match=expected):
        sample_sheet(make_generator(), rows, columns, seed=seed)
