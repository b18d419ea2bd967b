"""Nearest training images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualgan.data import ImageFolder, SyntheticCLEVR
from dualgan.networks import StyleGAN2Generator
from dualgan.networks.sampling import generate
from dualgan.pictures.figures import render
from dualgan.studies.neighbors import Space, draw_neighbors, find_neighbors
from tests.studies.conftest import Corners

Make = Callable[..., StyleGAN2Generator]
Scenes = Callable[..., SyntheticCLEVR]


def embed(images: np.ndarray, space: Space) -> np.ndarray:
    rows: np.ndarray = images / 255 / np.sqrt(images[0].size)
    if space == "perceptual":
        rows = images.reshape(len(images), 2, 4, 2, 4, 3).mean(axis=(2, 4))
    return rows.reshape(len(images), -1)


@pytest.mark.parametrize("mirror", [False, True])
def test_as_by_brute_force_over_several_batches(mirror: bool, make_generator: Make, scenes: Scenes) -> None:
    data = scenes(mirror=mirror)
    found = find_neighbors(make_generator(), data, [3, 1], 4, extractor=Corners())
    real = torch.cat([batch.images for batch in data.reference_dataloader()]).numpy()
    both = np.concatenate([real, real[:, :, ::-1]]) if mirror else real
    assert found.num_searched == len(both)
    for space, nearest in found.spaces.items():
        rows, queries = embed(both.astype(float), space), embed(found.queries.astype(float), space)
        distances = np.sqrt(((queries[:, None] - rows) ** 2).sum(axis=2))
        order = distances.argsort(axis=1, kind="stable")[:, :4]
        assert (nearest.indices + 150 * nearest.mirrored == order).all()
        assert np.allclose(nearest.distances, np.take_along_axis(distances, order, 1), rtol=1e-4)
        assert (nearest.images == both[order]).all()


def test_a_memorised_image_is_found_and_named(make_generator: Make, image_files: Path, caches: None) -> None:
    G = make_generator()
    (sample,) = torch.cat(list(generate(G, [7]))).numpy()
    Image.fromarray(sample).save(image_files / "copy.png")
    data = ImageFolder(str(image_files), resolution=8, num_workers=0)
    report = find_neighbors(G, data, [7], 1, ["pixel"]).as_dict()
    (row,) = report["spaces"]["pixel"]["neighbors"]
    assert row["nearest"] == [{"index": 5, "name": "copy.png", "mirrored": False, "distance": 0.0}]


def test_indices_of_a_subset_are_those_of_the_whole_set(make_generator: Make, scenes: Scenes) -> None:
    data = scenes(subset=20)
    found = find_neighbors(make_generator(), data, [0], 20, ["pixel"])
    whole = torch.cat([batch.images for batch in scenes().reference_dataloader()]).numpy()
    indices = found.spaces["pixel"].indices[0]
    assert len(set(indices)) == found.num_searched == 20
    assert (whole[indices] == found.spaces["pixel"].images[0]).all()


def test_figure_of_gray_images_of_classes(make_generator: Make, image_files: Path, caches: None) -> None:
    data = ImageFolder(str(image_files), resolution=8, num_channels=1, num_workers=0)
    found = find_neighbors(make_generator(1, 3), data, [0, 1], 2, extractor=Corners(), labels=torch.tensor([2, 0]))
    figure = draw_neighbors(found)
    texts = [axes.get_xlabel() for part in figure.subfigs for axes in part.axes]
    distances = [f"{d:.3g}" for nearest in found.spaces.values() for d in nearest.distances.ravel()]
    assert texts == ["seed 0", "seed 1", *distances]
    assert "corners" in figure.subfigs[2].get_suptitle()
    assert render(figure).std() > 0


def test_what_does_not_fit(make_generator: Make, scenes: Scenes) -> None:
    G = make_generator()
    with pytest.raises(ValueError, match="k 151 does not fit a training set of 150"):
        find_neighbors(G, scenes(), [0], 151, ["pixel"])
    with pytest.raises(ValueError, match="resolution 16, and the generator resolution 8"):
        find_neighbors(G, scenes(resolution=16, num_images=2), [0], 1, ["pixel"])
    with pytest.raises(ValueError, match="num_channels 3, and the generator num_channels 1"):
        find_neighbors(make_generator(1), scenes(), [0], 1, ["pixel"])
    with pytest.raises(ValueError, match="feature extractor"):
        find_neighbors(G, scenes(), [0], 1)
    with pytest.raises(ValueError, match="each once"):
        find_neighbors(G, scenes(), [0], 1, ["pixel", "pixel"])
    with pytest.raises(ValueError, match="33 seeds"):
        find_neighbors(G, scenes(), range(33), 1, ["pixel"])
