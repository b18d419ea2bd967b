"""Directions in w, their file, and what they do to images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dualgan.networks import SNGANGenerator, StyleGAN2Generator
from dualgan.networks.sampling import generate
from dualgan.pictures.figures import render
from dualgan.studies.direction_sheet import draw_directions, steps_of, walk_directions
from dualgan.studies.directions import METHODS, Directions, Method, find_directions, w_digest
from dualgan.studies.styles import sample_w, styles_of
from tests.tiny import first_generator

Make = Callable[..., StyleGAN2Generator]
every_method = pytest.mark.parametrize("method", METHODS)


def unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors)


def test_components_are_as_long_as_w_deviates_along_them(make_generator: Make) -> None:
    G = make_generator()
    found = find_directions(G, "pca", 16)
    others = sample_w(G, seed=1)  # samples that have not been looked at
    along = (others - others.mean(dim=0)) @ unit(found.vectors).T
    torch.testing.assert_close(along.std(dim=0), found.vectors.norm(dim=1), rtol=0.05, atol=1e-4)
    assert found.vectors.norm(dim=1).diff().le(0).all()
    torch.testing.assert_close(unit(found.vectors) @ unit(found.vectors).T, torch.eye(16), rtol=0, atol=1e-4)
    assert sum(found.shares) == pytest.approx(1)
    assert found.shares[0] == pytest.approx(float(along[:, 0].var() / along.var(dim=0).sum()), rel=0.1)


@pytest.mark.parametrize("layers", [None, [1, 2]])
def test_closed_form_directions_are_the_eigenvectors_of_the_layers_weights(
    layers: list[int] | None, make_generator: Make
) -> None:
    G = make_generator()
    found = find_directions(G, "sefa", 5, layers)
    of_layers = [["b4.conv1"], ["b4.torgb", "b8.conv0"], ["b8.conv1"], ["b8.torgb"]]
    names = [name for k in layers or range(4) for name in of_layers[k]]
    read = [G.get_parameter(f"synthesis.{name}.affine.weight") for name in names]
    A = np.concatenate([weight.numpy() for weight in read]).astype(np.float64)
    values, columns = np.linalg.eigh(A.T @ A)
    expected = columns[:, ::-1][:, :5].T
    np.testing.assert_allclose(np.abs(np.sum(unit(found.vectors).numpy() * expected, axis=1)), 1, atol=1e-5)
    np.testing.assert_allclose(found.shares, values[::-1][:5] / values.sum(), rtol=1e-5)
    widest = find_directions(G, "pca", 1).vectors.norm()
    torch.testing.assert_close(found.vectors.norm(dim=1), widest.expand(5))
    assert found.layers == tuple(layers or range(4))


def test_the_first_closed_form_direction_moves_styles_most(make_generator: Make) -> None:
    G = make_generator()
    (first,) = unit(find_directions(G, "sefa", 1, [2]).vectors)
    affine = G.get_submodule("synthesis.b8.conv1.affine")

    def moved(direction: Tensor) -> float:
        return float((affine(direction[None]) - affine(torch.zeros(1, 16))).norm())

    others = unit(torch.randn(100, 16, generator=torch.Generator().manual_seed(0)))
    assert moved(first) > max(map(moved, others))


@every_method
def test_any_generator_with_a_mapping_network_has_directions(method: Method) -> None:
    torch.manual_seed(0)
    G = first_generator(resolution=16, num_classes=2)
    found = find_directions(G, method, 3)
    assert found.names == (f"{method}1", f"{method}2", f"{method}3")
    assert found.vectors.isfinite().all()
    again = find_directions(G, method, 3)
    assert torch.equal(found.vectors, again.vectors)
    assert walk_directions(G, found, [0], [-1.0, 0.0, 1.0]).shape == (3, 1, 3, 16, 16, 3)


def test_a_class_has_components_of_its_own(make_generator: Make) -> None:
    G = make_generator(num_classes=3)
    common, own = find_directions(G, num=1), find_directions(G, num=1, label=2)
    w = sample_w(G, label=2)
    assert own.vectors.norm().item() == pytest.approx(float(torch.linalg.matrix_norm(w - w.mean(0), 2)) / 100, rel=1e-4)
    assert not torch.allclose(common.vectors, own.vectors)


def test_styles_move_in_the_layers_of_the_directions_alone(make_generator: Make) -> None:
    G = make_generator()
    found = find_directions(G, num=2, layers=[1, 3])
    ws = styles_of(G, [0, 1, 2])
    same = found.moved(ws, torch.tensor([1.0, -2.0])) - ws
    expected = found.vectors[0] - 2 * found.vectors[1]
    for layer in range(4):
        wanted = expected.expand(3, -1) if layer in (1, 3) else torch.zeros(3, 16)
        torch.testing.assert_close(same[:, layer], wanted, rtol=1e-4, atol=1e-6)
    each = found.moved(ws, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])) - ws
    torch.testing.assert_close(
        each[:, 1], torch.stack([0 * found.vectors[0], found.vectors[0], 3 * found.vectors[1]]), rtol=1e-4, atol=1e-6
    )


def test_a_sheet_begins_and_ends_at_the_strength_and_passes_the_seeds_own_image(make_generator: Make) -> None:
    G = make_generator()
    found, strengths = find_directions(G, num=2), steps_of(2, 5)
    assert strengths == [-2, -1, 0, 1, 2]
    images = walk_directions(G, found, [5, 6], strengths, truncation_psi=0.8, truncation_cutoff=2)
    own = torch.cat(list(generate(G, [5, 6], truncation_psi=0.8, truncation_cutoff=2))).numpy()
    for k in range(2):
        assert np.abs(images[k, :, 2].astype(int) - own).max() <= 1
        assert (images[k, :, 0] != images[k, :, 4]).any()
    figure = draw_directions(images, found, [5, 6], strengths)
    assert [axes.get_xlabel() for axes in figure.axes[:5]] == ["-2", "-1", "0", "+1", "+2"]
    assert len(figure.axes) == 2 * 2 * 5
    assert "pca2\nseed 6" in [text.get_text() for text in figure.texts]
    assert render(figure).std() > 0


@every_method
def test_a_file_gives_the_directions_back(method: Method, make_generator: Make, tmp_path: Path) -> None:
    G = make_generator()
    found = find_directions(G, method, 4, [0, 1])
    found.save(tmp_path / "ways.safetensors")
    back = Directions.load(tmp_path / "ways.safetensors")
    assert torch.equal(back.vectors, found.vectors)
    assert back.as_dict() == found.as_dict()
    back.check_fits(G)
    assert load_file(tmp_path / "ways.safetensors")["vectors"].shape == (4, 16)


def test_directions_of_another_w_are_refused(make_generator: Make) -> None:
    G = make_generator()
    found = find_directions(G, num=1)
    kernel = G.get_parameter("synthesis.b8.conv1.weight")
    kernel.copy_(kernel.half())  # as a small export has it
    G.mapping.w_avg.add_(1)
    found.check_fits(G)
    torch.manual_seed(1)
    other = StyleGAN2Generator(8, z_dim=16, w_dim=16, mapping_layers=2, channel_base=128, channel_max=16)
    expected = f"ways.file belong to the mapping network {found.network}, .*{w_digest(other)}"
    with pytest.raises(ValueError, match=expected):
        found.check_fits(other, "ways.file")
    with pytest.raises(ValueError, match="belong to the mapping network"):
        walk_directions(other, found, [0], [0.0])
    with pytest.raises(ValueError, match=r"ways\.file needs a generator with a mapping network"):
        found.check_fits(SNGANGenerator(32, width=8), "ways.file")


def written(path: Path, changes: dict[str, Any], vectors: Tensor | None = None) -> Path:
    said: dict[str, Any] = {
        "format_version": 1, "method": "pca", "network": "0" * 16, "layers": [0, 1], "names": ["a", "b"],
        "shares": [0.5, 0.2],
    }  # fmt: skip
    said = {name: value for name, value in (said | changes).items() if value != "gone"}
    tensors = {"vectors": torch.ones(2, 3) if vectors is None else vectors}
    save_file(tensors, path, {"dualgan.directions": json.dumps(said)})
    return path


@pytest.mark.parametrize(
    ("changes", "vectors", "expected"),
    [
        ({"format_version": 2}, None, "format version is 2, expected 1"),
        ({"method": "magic"}, None, "magic"),
        ({"network": 3}, None, "network 3"),
        ({"layers": [1, 0]}, None, r"layers are \[1, 0\]"),
        ({"layers": [-1]}, None, r"layers are \[-1\]"),
        ({"layers": []}, None, r"layers are \[\]"),
        ({"layers": ["0"]}, None, "layers are"),
        ({"names": ["a", "a"]}, None, "2 vectors have 1 names"),
        ({"names": ["a", 1]}, None, "names are"),
        ({"shares": [1]}, None, "1 shares"),
        ({"shares": "gone"}, None, "'shares' is missing"),
        ({}, torch.full((2, 3), torch.nan), "finite"),
        ({}, torch.ones(2), "expected finite"),
        ({}, torch.ones(2, 3, dtype=torch.int64), "int64"),
    ],
)
def test_damaged_files(changes: dict[str, Any], vectors: Tensor | None, expected: str, tmp_path: Path) -> None:
    path = written(tmp_path / "ways.safetensors", changes, vectors)
    with pytest.raises(ValueError, match=expected) as refused:
        Directions.load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_undamaged_one_is_read(tmp_path: Path) -> None:
    assert Directions.load(written(tmp_path / "ways.safetensors", {})).names == ("a", "b")


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "ways.safetensors"
    with pytest.raises(ValueError, match=r"no directions at .*ways\.safetensors"):
        Directions.load(path)
    save_file({"ws": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="holds no directions"):
        Directions.load(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"cut off or damaged.*dualgan directions"):
        Directions.load(path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"method": "ica"}, "method 'ica' is unknown: expected pca or sefa"),
        ({"num": 0}, "num 0"),
        ({"num": 17}, "num 17 is above the 16 dimensions of w"),
        ({"layers": [9]}, "layer 9 does not exist"),
        ({"label": 0}, "labels were given"),
    ],
)
def test_searches_that_cannot_be(given: dict[str, Any], expected: str, make_generator: Make) -> None:
    with pytest.raises(ValueError, match=expected):
        find_directions(make_generator(), **given)


def test_generators_without_directions(make_generator: Make) -> None:
    with pytest.raises(ValueError, match="finding directions needs a generator with a mapping network, and SNGAN"):
        find_directions(SNGANGenerator(32, width=8))
    G = make_generator()
    G.get_parameter("mapping.fc0.bias").fill_(torch.nan)
    with pytest.raises(ValueError, match="NaN or infinity"):
        find_directions(G)


@pytest.mark.parametrize(
    ("strength", "steps"), [(0, 3), (-1, 3), (float("nan"), 3), (float("inf"), 3), (3, 1), (3, 4), (3, 35)]
)
def test_steps_that_cannot_be(strength: float, steps: int) -> None:
    with pytest.raises(ValueError, match=r"strength|steps"):
        steps_of(strength, steps)


def test_more_rows_than_a_figure_has(make_generator: Make) -> None:
    G = make_generator()
    with pytest.raises(ValueError, match="3 directions of 11 seeds: a figure has room for 32 rows"):
        walk_directions(G, find_directions(G, num=3), range(11), [0.0])
