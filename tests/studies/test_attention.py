"""Figures of attention maps."""

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dualgan.networks import StyleGAN2Generator
from dualgan.networks.attention import DFN, SAGAN, SAN, VT
from dualgan.networks.sampling import generate
from dualgan.pictures.figures import render
from dualgan.studies.attention import COLOURS, AttentionMaps, compute_maps, draw, draw_attention

POSITIONS = [(0.0, 0.0), (0.5, 0.25), (0.99, 0.6)]
MAPPED = pytest.mark.parametrize("attention", [SAN, SAGAN, VT])


def generator(attention: Any = SAN, **settings: Any) -> StyleGAN2Generator:
    torch.manual_seed(0)
    place = {} if attention is None else {"attention": attention, "attention_resolution": 8}
    settings = {
        "channel_base": 128,
        "channel_max": 16,
        "z_dim": 8,
        "w_dim": 8,
        "mapping_layers": 2,
        **place,
        **settings,
    }
    return StyleGAN2Generator(16, **settings)


def panels(figure: Figure, rows: int) -> list[list[Axes]]:
    return [list(row) for row in np.reshape(np.array(figure.axes, dtype=object), (rows, -1))]


def dots(axes: Axes) -> list[tuple[float, float]]:
    """Rows and columns of the marks on a panel."""
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    return [(float(np.ravel(mark.get_ydata())[0]), float(np.ravel(mark.get_xdata())[0])) for mark in marks]


@MAPPED
def test_one_row_per_seed_with_the_sample_and_a_map_per_position(attention: Any) -> None:
    G = generator(attention)
    rows = panels(draw_attention(G, [3, 5], POSITIONS), rows=2)
    (samples,) = generate(G, [3, 5])  # in one batch, like the figure: in another the last bits may differ
    for seed, sample, row in zip([3, 5], samples, rows, strict=True):
        assert [axes.get_title() for axes in row] == [
            f"seed {seed}", "row 0, column 0", "row 4, column 2", "row 7, column 4",
        ]  # fmt: skip
        assert all(same_color(axes.spines["top"].get_edgecolor(), COLOURS[p]) for p, axes in enumerate(row[1:]))
        assert (np.asarray(row[0].images[0].get_array()) == sample.numpy()).all()


@MAPPED
def test_maps_are_those_of_the_generator(attention: Any) -> None:
    G = generator(attention).eval()
    found = compute_maps(G, [7], POSITIONS, truncation_psi=0.5)
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(7))
    expected = G.attention_maps(G.mapping(z, truncation_psi=0.5), [(0, 0), (4, 2), (7, 4)])
    np.testing.assert_allclose(found.maps, expected.detach().numpy(), rtol=1e-4, atol=1e-6)
    drawn = panels(draw(found, [7]), rows=1)[0][3].images[-1].get_array()
    np.testing.assert_array_equal(np.asarray(drawn), found.maps[0, 2])


def test_a_dot_lies_on_the_pixels_that_its_attention_covers() -> None:
    (sample, *_), *_ = panels(draw_attention(generator(), [0], POSITIONS), rows=1)
    assert list(sample.images[0].get_extent()) == [-0.5, 7.5, 7.5, -0.5]  # the image lies over its 8 x 8 feature map
    assert dots(sample) == [(0, 0), (4, 2), (7, 4)]  # middles of the feature map's pixels


def test_a_box_shows_a_footprint_and_leaves_the_view_on_the_image() -> None:
    (sample, first, *_), *_ = panels(draw_attention(generator(), [0], POSITIONS), rows=1)
    boxes = [patch.get_bbox().extents for patch in sample.patches if isinstance(patch, Rectangle)]
    np.testing.assert_allclose(boxes[2], [-1.5, 0.5, 5.5, 7.5])  # columns -1 to 5 and rows 1 to 7 of 8
    assert sorted(sample.get_xlim()) == sorted(sample.get_ylim()) == [-0.5, 7.5]
    assert list(first.images[0].get_extent()) == [-3.5, 3.5, 3.5, -3.5]
    assert dots(first) == [(0, 0)]


@pytest.mark.parametrize("footprint", [4, 7])
def test_the_marked_place_of_a_footprint_is_its_own_position(footprint: int) -> None:
    image, patch = np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 1, footprint, footprint))
    maps = AttentionMaps(image, patch, [(4, 5)], 8, footprint, "SAN")
    (_, axes), *_ = panels(draw(maps, [0]), rows=1)
    left, _, _, top = axes.images[0].get_extent()
    assert (4 - top - 0.5, 5 - left - 0.5) == (footprint // 2, footprint // 2)
    assert dots(axes) == [(4, 5)]


def borders(axes: Axes) -> list[tuple[str, float]]:
    """Dashed lines of a panel."""
    lines = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_linestyle() == "--"]
    return [("row", ends[0, 1]) if ends[0, 1] == ends[1, 1] else ("column", ends[0, 0]) for ends in lines]


def test_dashed_lines_show_where_the_feature_map_ends() -> None:
    _, *row = panels(draw_attention(generator(), [0], POSITIONS), rows=1)[0]
    assert [borders(axes) for axes in row] == [[("row", -0.5), ("column", -0.5)], [("column", -0.5)], [("row", 7.5)]]


@pytest.mark.parametrize("attention", [SAGAN, VT])
def test_other_maps_lie_over_the_whole_sample(attention: Any) -> None:
    row = panels(draw_attention(generator(attention), [0], POSITIONS), rows=1)[0]
    assert not row[0].patches
    for p, axes in enumerate(row[1:]):
        assert axes.images[0].get_extent() == axes.images[1].get_extent()
        assert dots(axes) == [dots(row[0])[p]]


def test_rendered_picture_shows_the_dots_where_they_are() -> None:
    figure = draw_attention(generator(), [0, 1], POSITIONS)
    picture = render(figure)
    assert picture.shape == (round(5.3 * 120), round(8.8 * 120), 3)
    sample = figure.axes[0]
    x, y = sample.transData.transform((4, 7))
    colour = np.array([int(COLOURS[2][k : k + 2], 16) for k in (1, 3, 5)])
    assert np.abs(picture[picture.shape[0] - 1 - int(y), int(x)].astype(int) - colour).max() < 8


def test_gray_images_and_classes() -> None:
    G = generator(num_channels=1, num_classes=3)
    assert compute_maps(G, [0, 1], POSITIONS, labels=torch.tensor([2, 2])).images.shape == (2, 16, 16, 1)
    assert render(draw_attention(G, [0])).std() > 0


def test_drawing_leaves_random_numbers_and_mode_alone() -> None:
    before = torch.get_rng_state()
    G = generator().train()
    torch.set_rng_state(before)
    draw_attention(G, [0])
    assert torch.equal(torch.get_rng_state(), before)
    assert G.training


@pytest.mark.parametrize(
    ("attention", "expected"),
    [(None, ["no attention", "--model.generator.attention SAN"]), (DFN, ["DFN has no attention map", "SAGAN"])],
)
def test_generators_without_maps_are_refused(attention: Any, expected: list[str]) -> None:
    with pytest.raises(ValueError, match="attention") as error:
        draw_attention(generator(attention), [0])
    assert all(text in str(error.value) for text in expected)


@pytest.mark.parametrize(
    ("seeds", "positions", "expected"),
    [
        ([0], [(1.0, 0.5)], "position 1,0.5"),
        ([0], [(0.5, -0.1)], "position 0.5,-0.1"),
        ([0], [(0.5, float("nan"))], "position 0.5,nan"),
        ([0], [], "0 positions"),
        ([0], [(0.5, 0.5)] * 9, "9 positions"),
        ([], [(0.5, 0.5)], "no seeds"),
        (range(33), [(0.5, 0.5)], "33 seeds"),
    ],
)
def test_what_does_not_fit_is_refused(seeds: list[int], positions: list[tuple[float, float]], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        draw_attention(generator(), seeds, positions)
