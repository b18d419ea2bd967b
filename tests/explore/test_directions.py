"""Which directions the sliders of a page move along."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dualgan.explore.directions import PrincipalDirections, assigned
from dualgan.explore.engine import Explorer
from dualgan.explore.settings import Settings
from dualgan.networks import Generator
from dualgan.studies.directions import Directions, find_directions
from dualgan.studies.styles import styles_of
from tests import tiny
from tests.backbones import BACKBONES

MakeExplorer = Callable[..., Explorer]


@pytest.fixture
def generators() -> dict[str, Generator]:
    torch.manual_seed(0)
    without = BACKBONES["R3GAN"].generator(8, 3, 0)
    return {"one": tiny.generator(resolution=16), "two": tiny.generator(resolution=16), "without": without}


def saved(generator: Generator, name: str) -> tuple[str, Directions]:
    found = find_directions(generator, "sefa", 3)
    found.save(Path(name))
    return name, found


def test_without_files_they_are_the_principal_components(generators: dict[str, Generator]) -> None:
    given = assigned((), generators)
    one, G = given["one"], generators["one"]
    assert isinstance(one, PrincipalDirections)
    assert "found" not in vars(one)  # a page that is opened does not wait for them
    ws, strengths = styles_of(one.generator, [0, 1]), torch.tensor([1.0, 0, -2, 0, 0, 0, 0, 0])
    assert torch.equal(one.moved(ws, strengths), find_directions(G, "pca", 8).moved(ws, strengths))
    assert list(one.names) == [f"pca{k}" for k in range(1, 9)]
    assert isinstance(given["without"], str)


@pytest.mark.usefixtures("in_empty_folder")
def test_every_file_belongs_to_its_network(generators: dict[str, Generator]) -> None:
    of_two, found = saved(generators["two"], "two.safetensors")
    given = assigned([of_two], generators)
    assert isinstance(given["two"], Directions)
    assert torch.equal(given["two"].vectors, found.vectors)
    assert given["one"] == given["without"] == "no directions of it were given"
    of_one, _ = saved(generators["one"], "one.safetensors")
    both = assigned([of_two, of_one], generators)
    assert isinstance(both["one"], Directions)
    assert not torch.equal(both["one"].vectors, found.vectors)


@pytest.mark.usefixtures("in_empty_folder")
def test_files_that_are_of_no_use_are_refused(generators: dict[str, Generator]) -> None:
    of_one, found = saved(generators["one"], "one.safetensors")
    with pytest.raises(ValueError, match=r"the directions in one\.safetensors belong to the mapping network"):
        assigned([of_one], {"two": generators["two"]})
    with pytest.raises(ValueError, match=r"the use of the directions in one\.safetensors needs .* R3GANGenerator"):
        assigned([of_one], {"without": generators["without"]})
    found.save(Path("again.safetensors"))
    with pytest.raises(ValueError, match=r"one\.safetensors and again\.safetensors are both directions of one"):
        assigned([of_one, "again.safetensors"], generators)
    with pytest.raises(ValueError, match="no directions at nowhere"):
        assigned(["nowhere"], generators)


def test_directions_of_a_diverged_network_are_a_sentence(make_explorer: MakeExplorer) -> None:
    G = make_explorer().generator
    explorer = make_explorer(directions=assigned((), {"one": G})["one"], G=lambda **_: G)
    torch.nn.init.constant_(G.get_parameter("mapping.fc0.weight"), torch.nan)
    with pytest.raises(ValueError, match="it has diverged"):
        explorer.space.directions.moved(torch.zeros(1, 6, 16), torch.ones(8))  # type: ignore[union-attr]
    assert not explorer.lacks.directions


def test_a_picture_moves_along_them(make_explorer: MakeExplorer) -> None:
    G = make_explorer().generator
    explorer = make_explorer(directions=assigned((), {"one": G})["one"], G=lambda **_: G)
    still, moved, back = (explorer.show(Settings(4, strengths=(s, 0.0))).image for s in (0.0, 3.0, 0.0))
    assert (still != moved).any()
    assert (still == back).all()
