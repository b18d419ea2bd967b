"""Films of directions: where the images are at each keyframe, and what is written below them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from dualgan.networks import StyleGAN2Generator
from dualgan.studies.direction_film import chosen_directions, moving_cells, strength_captions, swings
from dualgan.studies.directions import Directions, find_directions
from dualgan.studies.films import timeline, walk_frames
from dualgan.studies.styles import images_of_styles, styles_of, synthesize

Make = Callable[..., StyleGAN2Generator]


def found(generator: StyleGAN2Generator) -> Directions:
    return find_directions(generator, "sefa", 3, [1, 2])


def test_keyframes_swing_along_one_direction_after_another(make_generator: Make) -> None:
    directions = found(make_generator())
    rows = swings(directions, [2, 0], 1.5, closed=True)
    assert rows.tolist() == [
        [0, 0, 0], [0, 0, 1.5], [0, 0, 0], [0, 0, -1.5], [0, 0, 0], [1.5, 0, 0], [0, 0, 0], [-1.5, 0, 0], [0, 0, 0],
    ]  # fmt: skip
    assert torch.equal(swings(directions, [2, 0], 1.5, closed=False), rows[:-1])


def test_images_move_between_keyframes_in_the_layers_of_the_directions(make_generator: Make) -> None:
    G = make_generator()
    directions, start = found(G), styles_of(G, [3, 4])
    rows = swings(directions, [1], 2.0, closed=False)
    when = timeline(len(rows), 2, "linear", with_end=True)
    film = [frame.image for frame in walk_frames(G, moving_cells(start, directions, rows), 2, when)]
    for frame, strength in zip(film, (0, 1, 2, 1, 0, -1, -2), strict=True):
        ws = directions.moved(start, torch.tensor([0.0, strength, 0.0]))
        expected = np.concatenate(list(images_of_styles(G, ws)), axis=1)
        assert np.abs(frame.astype(int) - expected).max() <= 1


def test_noise_maps_stay(make_generator: Make) -> None:
    G = make_generator()
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.5)
    name, buffer = next((n, b) for n, b in G.synthesis.named_buffers() if n.endswith("noise_const") and len(b) == 8)
    directions, start, maps = found(G), styles_of(G, [3]), torch.randn(1, *buffer.shape)
    rows = swings(directions, [0], 2.0, closed=False)
    cells = moving_cells(start, directions, rows, {name: maps})
    film = list(walk_frames(G, cells, 1, timeline(len(rows), 1, "linear", with_end=True)))
    for frame, row in zip(film, rows, strict=True):
        image = synthesize(G, directions.moved(start, row), {name: maps[0]})[0]
        expected = (image * 127.5 + 128).clamp(0, 255).int().permute(1, 2, 0).numpy()
        assert np.abs(frame.image.astype(int) - expected).max() <= 1


def test_captions_name_the_direction_and_how_far(make_generator: Make) -> None:
    directions = found(make_generator())
    rows = swings(directions, [2, 0], 1.5, closed=True)
    said = strength_captions(directions, [2, 0], rows, timeline(len(rows), 2, "linear", with_end=False))
    assert [line.removesuffix(" standard deviations of w") for line in said] == [
        "sefa3 +0.00", "sefa3 +0.75", "sefa3 +1.50", "sefa3 +0.75", "sefa3 +0.00", "sefa3 -0.75", "sefa3 -1.50",
        "sefa3 -0.75", "sefa1 +0.00", "sefa1 +0.75", "sefa1 +1.50", "sefa1 +0.75", "sefa1 +0.00", "sefa1 -0.75",
        "sefa1 -1.50", "sefa1 -0.75",
    ]  # fmt: skip


def test_only_names_of_the_file_can_be_chosen(make_generator: Make) -> None:
    directions = found(make_generator())
    assert chosen_directions(directions, None, "x") == [0, 1, 2]
    assert chosen_directions(directions, ["sefa3", "sefa1"], "x") == [2, 0]
    with pytest.raises(ValueError, match="direction 'pca1' is not in x: expected sefa1, sefa2, sefa3"):
        chosen_directions(directions, ["pca1"], "x")
