"""Style mixing, and the lists of layers and styles that studies share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dualgan.networks import SNGANGenerator, StyleGAN2Generator
from dualgan.networks.sampling import drawn_classes, generate, latents
from dualgan.pictures.figures import render
from dualgan.pictures.pixels import to_uint8
from dualgan.studies.mixing import draw_mixed, mix_styles
from dualgan.studies.styles import checked_layers, in_ranges
from dualgan.terminal.options import parse_layers
from tests.tiny import growing_generator

Make = Callable[..., StyleGAN2Generator]


def differ(one: np.ndarray, other: np.ndarray) -> int:
    """Largest difference; another batch may round by 1."""
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize(("channels", "classes"), [(3, 0), (1, 3)])
def test_pairs_take_some_layers_of_the_columns_seed(channels: int, classes: int, make_generator: Make) -> None:
    G = make_generator(channels, classes)
    found = mix_styles(G, [3, 4], [5, 6, 3], [0, 2])
    assert found.images.shape == (2, 3, 8, 8, channels)
    for seeds, images in (([3, 4], found.row_images), ([5, 6, 3], found.column_images)):
        assert differ(images, torch.cat(list(generate(G, seeds))).numpy()) <= 1
    ws = G.mapping(latents([4, 6], 16), drawn_classes(G, [4, 6]))
    by_hand = torch.stack([ws[1, 0], ws[0, 1], ws[1, 2], ws[0, 3]])[None]
    assert differ(found.images[1, 1], to_uint8(G.synthesis(by_hand, noise_mode="const"))[0].numpy()) <= 1
    assert differ(found.images[0, 2], found.row_images[0]) <= 1  # a seed with itself
    assert differ(found.images[0, 0], found.row_images[0]) > 1


def test_all_layers_give_the_columns_image_and_none_by_default(make_generator: Make) -> None:
    G = make_generator()
    found = mix_styles(G, [0], [1], range(4))
    assert differ(found.images[0, 0], found.column_images[0]) <= 1
    assert mix_styles(G, [0], [1]).layers == [0, 1]


def test_classes_and_truncation_are_those_of_the_images(make_generator: Make) -> None:
    G = make_generator(num_classes=3)
    found = mix_styles(G, [0, 1], [2], label=1, truncation_psi=0.5, truncation_cutoff=3)
    own = generate(G, [0, 1], labels=torch.tensor([1, 1]), truncation_psi=0.5, truncation_cutoff=3)
    assert differ(found.row_images, torch.cat(list(own)).numpy()) <= 1


def test_figure_has_a_column_and_a_row_more_than_pairs(make_generator: Make) -> None:
    figure = draw_mixed(mix_styles(make_generator(1), [7, 2**62], [8, 9]))
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "seed 8", "seed 9", "seed 7", "", "", f"seed {2**62}", "", "",
    ]  # fmt: skip
    assert "layers 0-1" in figure.texts[0].get_text()
    assert render(figure).std() > 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"rows": []}, "0 seeds for the rows"),
        ({"columns": list(range(33))}, "33 seeds for the columns"),
        ({"layers": [4]}, "layer 4 does not exist: this generator has layers 0 to 3"),
        ({"layers": []}, "each once"),
        ({"layers": [1, 1]}, "each once"),
        ({"label": 1}, "labels were given"),
        ({"truncation_psi": float("nan")}, "truncation_psi nan"),
    ],
)
def test_sheets_that_cannot_be(given: dict[str, Any], expected: str, make_generator: Make) -> None:
    with pytest.raises(ValueError, match=expected):
        mix_styles(make_generator(), **{"rows": [0], "columns": [1], **given})


def test_without_a_mapping_network() -> None:
    with pytest.raises(ValueError, match="style mixing needs a generator with a mapping network, and SNGANGenerator"):
        mix_styles(SNGANGenerator(32, width=8), [0], [1])


def test_layers_that_do_not_grow_yet_are_refused() -> None:
    G = growing_generator(resolution=16)
    assert checked_layers(None, G) == [0, 1]
    with pytest.raises(ValueError, match="layers 0 to 1"):
        checked_layers([2], G)


def test_layers_in_words() -> None:
    assert in_ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert parse_layers("0-2,5, 7-8") == [0, 1, 2, 5, 7, 8]
    for text, expected in (("x", "such as 0-3"), ("3-1", "empty range"), ("1,0-2", "name 1 twice"), ("0-5000", "5000")):
        with pytest.raises(ValueError, match=expected) as refused:
            parse_layers(text)
        assert str(refused.value).startswith(f"layers {text!r}")
