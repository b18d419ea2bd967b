"""Mean power spectra."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dualgan.data import SyntheticCLEVR
from dualgan.networks import StyleGAN2Generator
from dualgan.pictures.figures import render
from dualgan.pictures.pixels import to_uint8
from dualgan.studies.spectra import FLOOR, Spectra, curve, decibels, draw_spectra, mean_spectrum, study_spectra

Make = Callable[..., StyleGAN2Generator]
Scenes = Callable[..., SyntheticCLEVR]


def waves(across: int, down: int, resolution: int = 32) -> Tensor:
    """A wave of so many cycles per image, uint8 [1, R, R, 1]."""
    line = torch.arange(resolution) / resolution
    phase = 2 * torch.pi * (across * line[None] + down * line[:, None])
    return to_uint8(0.5 * phase.cos()[None, None])


def peaks(power: np.ndarray) -> set[tuple[int, int]]:
    """Cycles per image across and down of the highest two frequencies."""
    half = len(power) // 2
    highest = np.argsort(power, axis=None)[-2:]
    return {(int(x) - half, int(y) - half) for y, x in zip(*np.unravel_index(highest, power.shape), strict=True)}


@pytest.mark.parametrize(("across", "down"), [(5, 0), (0, 9), (6, -4)])
def test_a_wave_is_a_pair_of_peaks_at_its_frequency(across: int, down: int) -> None:
    power = mean_spectrum([waves(across, down)])
    assert peaks(power) == {(across, down), (-across, -down)}
    assert decibels(power)[2, 2] < decibels(power).max() - 40  # the borders make no cross


def test_white_noise_has_its_variance_everywhere_and_batches_do_not_matter() -> None:
    torch.manual_seed(0)
    images = to_uint8(0.2 * torch.randn(600, 3, 16, 16))
    power = mean_spectrum(torch.split(images, 250))
    np.testing.assert_allclose(curve(power)[2:], 0.04, rtol=0.1)
    np.testing.assert_allclose(power, mean_spectrum([images]), rtol=1e-6)


def test_repeated_pixels_show_where_upsampling_does() -> None:
    torch.manual_seed(0)
    real = to_uint8(0.2 * torch.randn(200, 1, 16, 16))
    coarse = to_uint8((0.2 * torch.randn(200, 1, 8, 8)).repeat_interleave(2, 2).repeat_interleave(2, 3))
    study = Spectra(mean_spectrum([real]), mean_spectrum([coarse]), 200)
    assert study.high < -3
    assert study.difference[8, 0] < study.difference[8, 8 - 3] - 10  # the zero of the box filter
    assert study.distance > 3


def test_equal_images_have_no_distance_and_flat_ones_no_minus_infinity() -> None:
    flat = mean_spectrum([torch.full((2, 8, 8, 3), 77, dtype=torch.uint8)])
    assert np.isfinite(decibels(flat)).all()
    assert decibels(flat).max() == pytest.approx(10 * np.log10(FLOOR))
    same = Spectra(flat, flat, 2)
    assert (same.distance, same.high) == (0, 0)
    assert render(draw_spectra({"same": same})).std() > 0


@pytest.mark.parametrize("classes", [0, 3])
def test_a_generator_beside_its_data(classes: int, make_generator: Make, scenes: Scenes) -> None:
    G, data = make_generator(num_classes=classes), scenes()
    study = study_spectra(G, data, 70, seed=2)
    real = torch.cat([batch.images for batch in data.reference_dataloader(70)])
    np.testing.assert_allclose(study.real, mean_spectrum([real]), rtol=1e-5)
    assert study.num == 70
    again = study_spectra(G, data, 70, seed=2)
    np.testing.assert_array_equal(study.fake, again.fake)
    assert (study_spectra(G, data, 70, seed=3).fake != study.fake).any()
    said = study.as_dict()
    assert {len(line) for line in said["curves_db"].values()} == {5}
    assert said["log_spectral_distance_db"] == pytest.approx(study.distance)
    figure = draw_spectra({"a": study, "b": again})
    texts = {axes.get_title() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert {"real, dB", "generated, dB", "generated over real, dB", "a\n70 images of a kind"} <= texts
    assert render(figure).std() > 0


def test_all_real_images_by_default(make_generator: Make, scenes: Scenes) -> None:
    assert study_spectra(make_generator(), scenes()).num == 150


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"num": 1}, "num 1 is too small"),
        ({"num": 151}, "num 151 is above the 150 real images"),
        ({"seed": -1}, "seed -1"),
        ({"truncation_psi": float("nan")}, "truncation_psi nan"),
    ],
)
def test_studies_that_cannot_be(given: dict[str, Any], expected: str, make_generator: Make, scenes: Scenes) -> None:
    with pytest.raises(ValueError, match=expected):
        study_spectra(make_generator(), scenes(), **{"num": 4, **given})


def test_images_of_another_size(make_generator: Make, scenes: Scenes) -> None:
    with pytest.raises(ValueError, match="resolution 16, and the generator resolution 8"):
        study_spectra(make_generator(), scenes(resolution=16), 4)
