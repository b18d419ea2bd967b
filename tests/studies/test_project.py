"""Projection of real images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dualgan.metrics import FeatureDistance
from dualgan.networks import StyleGAN2Generator
from dualgan.networks.sampling import generate
from dualgan.pictures.figures import render
from dualgan.pictures.pixels import to_uint8
from dualgan.studies.project import (
    draw_projections,
    learning_rate,
    noise_structure,
    pixel_distance,
    project,
    w_statistics,
)
from dualgan.studies.styles import synthesize
from tests.studies.conftest import Blurred

Make = Callable[..., StyleGAN2Generator]


def images_of(G: StyleGAN2Generator, *seeds: int) -> np.ndarray:
    return torch.cat(list(generate(G, seeds))).numpy()


@pytest.mark.parametrize("space", ["w", "w+"])
@pytest.mark.parametrize(("channels", "classes"), [(3, 0), (1, 3)])
def test_a_generated_image_is_recovered(space: Any, channels: int, classes: int, make_generator: Make) -> None:
    G = make_generator(channels, classes)
    queries = images_of(G, 3)
    found = project(G, queries, Blurred(), 80, space)
    mean, _ = w_statistics(G)
    with torch.no_grad():
        start = to_uint8(G.synthesis(mean.repeat(1, G.num_ws, 1), noise_mode="const")).numpy()
    assert found.losses[0, -1] < 0.3 * found.losses[0, 0]
    assert found.pixel[0] < 0.5 * pixel_distance(start, queries)[0]
    layers = found.ws[0]
    assert bool((layers == layers[0]).all()) == (space == "w")


def test_latents_give_the_images_and_each_query_stands_alone(make_generator: Make) -> None:
    G = make_generator()
    queries = images_of(G, 1, 2)
    both = project(G, queries, Blurred(), 5, optimize_noise=True)
    alone = project(G, queries[1:], Blurred(), 5, optimize_noise=True)
    assert torch.equal(both.ws[1:], alone.ws)
    for n in range(2):
        noise = {name: maps[n] for name, maps in both.noise.items()}
        with torch.no_grad():
            again = to_uint8(synthesize(G, both.ws[n : n + 1], noise))
        assert (again[0].numpy() == both.images[n]).all()
    assert (pixel_distance(both.images, queries) == both.pixel).all()


def test_noise_is_searched_only_when_asked_for_and_the_generator_stays(make_generator: Make) -> None:
    G = make_generator()
    before = {name: value.clone() for name, value in G.state_dict().items()}
    queries = images_of(G, 1)
    plain, noisy = (project(G, queries, Blurred(), 5, optimize_noise=noise) for noise in (False, True))
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())
    assert plain.noise == {}
    own = {name: buffer for name, buffer in G.synthesis.named_buffers() if name.endswith("noise_const")}
    assert noisy.noise.keys() == own.keys()
    for name, maps in noisy.noise.items():
        assert not torch.equal(maps[0], own[name])
        assert float(maps.mean()) == pytest.approx(0, abs=1e-5)
        assert float(maps.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_gradients_pass_the_pretrained_network(make_generator: Make) -> None:
    G = make_generator()
    distance = FeatureDistance()
    found = project(G, images_of(G, 3), distance, 10)
    assert found.losses[0, -1] < found.losses[0, 0]
    assert found.perceptual[0] > 0
    target, image = torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(distance(image, target).sum(), image)
    assert gradient.abs().max() > 0


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(part) for part in (0.0, 0.025, 0.05, 0.5, 0.75, 0.875, 1.0)]
    assert np.allclose(rates, [0, 0.05, 0.1, 0.1, 0.1, 0.05, 0])


def test_structure_is_seen_in_noise() -> None:
    white = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    stripes = torch.ones(32, 32)
    stripes[::2] = -1
    assert noise_structure(white) < 0.05
    assert noise_structure(stripes) > 1


def test_w_statistics_by_hand(make_generator: Make) -> None:
    G = make_generator()
    mean, deviation = w_statistics(G, seed=2)
    with torch.no_grad():
        z = torch.stack([torch.randn(16, generator=torch.Generator().manual_seed(s)) for s in range(20_000, 30_000)])
        w = G.mapping(z)[:, 0]
    assert torch.allclose(mean, w.mean(0), atol=1e-6)
    assert deviation == pytest.approx(float((w - w.mean(0)).norm(dim=1).square().mean().sqrt()), rel=1e-5)


def test_figure_has_a_row_per_query_and_a_column_per_generator(make_generator: Make) -> None:
    G = make_generator()
    queries = images_of(G, 1, 2)
    found = project(G, queries, Blurred(), 2)
    figure = draw_projections(queries, {"first": found, "second": found}, ["a.png", "a very long name.png"], "blurred")
    assert [axes.get_title() for axes in figure.axes[:3]] == ["real", "first", "second"]
    assert figure.axes[3].get_xlabel() == "...y long name.png"
    assert f"pixel {found.pixel[1]:.3f}" in figure.axes[5].get_xlabel()
    assert (np.asarray(figure.axes[5].images[0].get_array()) == found.images[1]).all()
    assert render(figure).std() > 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"queries": np.zeros((1, 16, 16, 3), np.uint8)}, r"uint8 \[N, 8, 8, 3\]"),
        ({"queries": np.zeros((1, 8, 8, 1), np.uint8)}, r"uint8 \[N, 8, 8, 3\]"),
        ({"queries": np.zeros((0, 8, 8, 3), np.uint8)}, "0 queries"),
        ({"steps": 0}, "steps 0"),
        ({"space": "z"}, "expected w or w"),
    ],
)
def test_searches_that_cannot_be(settings: dict[str, Any], expected: str, make_generator: Make) -> None:
    given = {"queries": np.zeros((1, 8, 8, 3), np.uint8), "distance": Blurred(), **settings}
    with pytest.raises(ValueError, match=expected):
        project(make_generator(), **given)


def test_noise_maps_that_are_not_there_cannot_be_searched(make_generator: Make) -> None:
    with pytest.raises(ValueError, match="noise=False and has no noise maps"):
        project(make_generator(noise=False), np.zeros((1, 8, 8, 3), np.uint8), Blurred(), 5, optimize_noise=True)
