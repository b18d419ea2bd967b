"""t-SNE and FDDF of discriminator features."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dualgan.data import SyntheticCLEVR
from dualgan.evaluation import BATCH_SIZE
from dualgan.metrics.functional import frechet_distance
from dualgan.networks import StyleGAN2Generator
from dualgan.networks.sampling import generate
from dualgan.pictures.figures import render
from dualgan.pictures.pixels import to_float
from dualgan.runtime.seeding import reseed
from dualgan.studies.tsne import draw_features, study_features, tsne
from tests.tiny import attending_discriminator, discriminator

Make = Callable[..., StyleGAN2Generator]
Scenes = Callable[..., SyntheticCLEVR]


@pytest.mark.parametrize("classes", [0, 3])
def test_fddf_is_the_frechet_distance_of_the_features(classes: int, make_generator: Make, scenes: Scenes) -> None:
    torch.manual_seed(1)
    G, D = make_generator(num_classes=classes), discriminator(resolution=8, num_classes=classes)
    study = study_features(G, D, scenes(), 64, 20, seed=3)
    real = torch.cat([batch.images for batch in scenes().reference_dataloader(64)])
    fakes: list[torch.Tensor] = []
    for start in range(3 * 2**20, 3 * 2**20 + 64, BATCH_SIZE):  # as an evaluation makes them: noise anew for each batch
        reseed("noise of an evaluation", start)
        seeds = range(start, min(start + BATCH_SIZE, 3 * 2**20 + 64))
        fakes += generate(G, seeds, noise_mode="random", batch_size=BATCH_SIZE)
    fake = torch.cat(fakes)
    with torch.no_grad():
        features = [
            torch.cat([D.features(to_float(x)) for x in torch.split(images, BATCH_SIZE)]) for images in (real, fake)
        ]
    for found, expected in zip((study.real, study.fake), features, strict=True):
        assert torch.allclose(found, expected, atol=1e-3)
    assert study.fddf == pytest.approx(float(frechet_distance(*features)), rel=1e-3)
    assert study.real_points.shape == study.fake_points.shape == (20, 2)


def test_same_references_for_real_and_generated(
    make_generator: Make, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    G, D = make_generator(), attending_discriminator(resolution=8)
    seen: list[torch.Tensor] = []
    original = D.features

    def watched(images: torch.Tensor, labels: Any, reference: torch.Tensor) -> torch.Tensor:
        seen.append(reference)
        return original(images, labels, reference)

    monkeypatch.setattr(D, "features", watched)
    first = study_features(G, D, scenes(), 8, 4, perplexity=2)
    generated, real = seen[-2:]
    assert len(real) == 8
    assert torch.equal(real, generated)
    again = study_features(G, D, scenes(), 8, 4, perplexity=2)
    assert torch.equal(real, seen[-1])
    assert first.fddf == again.fddf
    assert (first.real_points == again.real_points).all()
    study_features(G, D, scenes(), 8, 4, seed=1, perplexity=2)
    assert not torch.equal(real, seen[-1])


def test_parted_features_stay_parted_on_the_plane() -> None:
    features = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    features[30:] += 20
    points = tsne(features, seed=0, perplexity=10)
    centers = points[:30].mean(0), points[30:].mean(0)
    nearer = np.linalg.norm(points - centers[0], axis=1) < np.linalg.norm(points - centers[1], axis=1)
    assert nearer[:30].all()
    assert not nearer[30:].any()


def test_figure_names_fddf(make_generator: Make, scenes: Scenes) -> None:
    study = study_features(make_generator(), discriminator(resolution=8), scenes(), 8, 4, perplexity=2)
    figure = draw_features({"one": study, "two": study})
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == f"FDDF {study.fddf:.2g} (few images)"
    assert [text.get_text() for text in legend.get_texts()] == ["real", "generated"]
    assert render(figure).std() > 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"num": 1}, "num 1"),
        ({"num": 151}, "num 151 is above the 150"),
        ({"points": 9}, "points 9"),
        ({"perplexity": 16.0}, "perplexity 16"),
        ({"seed": 4096}, "seed 4096"),
    ],
)
def test_numbers_that_do_not_fit(settings: dict[str, Any], expected: str, make_generator: Make, scenes: Scenes) -> None:
    given = {"num": 8, "points": 8, "perplexity": 2.0, **settings}
    with pytest.raises(ValueError, match=expected):
        study_features(make_generator(), discriminator(resolution=8), scenes(), **given)


def test_without_scikit_learn(make_generator: Make, scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ValueError, match=r"scikit-learn.*'studies'"):
        study_features(make_generator(), discriminator(resolution=8), scenes(), 8, 4, perplexity=2)
