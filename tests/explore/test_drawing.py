"""Pictures with maps over them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dualgan.explore.drawing import SIDE, as_fraction, as_url, enlarged, overlaid, side_of
from dualgan.studies.attention import AttentionMaps


def maps(footprint: int | None, pixel: tuple[int, int], size: int = 8) -> AttentionMaps:
    image = np.full((1, 16, 16, 3), (0, 200, 0), np.uint8)
    side = footprint or size
    values = np.zeros((1, 1, side, side), np.float32)
    values[0, 0, 0, 0] = 1
    return AttentionMaps(image, values, [pixel], size, footprint, "SAN")


@pytest.mark.parametrize(("resolution", "side"), [(8, 512), (48, 480), (256, 512), (512, 512), (1024, 1024)])
def test_small_pictures_are_enlarged_by_whole_factors(resolution: int, side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (resolution, resolution, 1), np.uint8)
    large = enlarged(image)
    assert large.shape == (side, side, 3)
    assert side_of(resolution) == side
    factor = side // resolution
    np.testing.assert_array_equal(large[::factor, ::factor], image.repeat(3, axis=2))
    np.testing.assert_array_equal(large[factor - 1 :: factor, factor - 1 :: factor], image.repeat(3, axis=2))


def test_an_address_holds_its_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    kind, _, content = as_url(picture).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert as_url(picture) == as_url(picture.copy())  # a picture that comes again is known by it


def test_clicks_become_parts_of_the_picture() -> None:
    assert as_fraction([128, 0], 512) == (0, 0.25)
    for index in ([512, 0], [-1, 0], [1], None, ["a", "b"], [float("nan"), 0]):
        with pytest.raises(ValueError, match="click at"):
            as_fraction(index, 512)  # type: ignore[arg-type]


def test_a_footprint_covers_its_patch_alone() -> None:
    drawn = overlaid(maps(3, (4, 4)))
    changed = (drawn != enlarged(maps(3, (4, 4)).images[0])).any(axis=2)
    rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
    cell = SIDE // 8
    for found in (rows, columns):  # pixels 3 to 5 of 8, with a rim of 2
        assert (found[0], found[-1]) == (3 * cell - 2, 6 * cell + 1)
    bright, dark = drawn[3 * cell + 20, 3 * cell + 20], drawn[5 * cell + 20, 5 * cell + 20]
    assert bright.sum() > dark.sum() + 100


@pytest.mark.parametrize("pixel", [(0, 0), (7, 7), (0, 7)])
def test_a_footprint_may_reach_beyond_the_picture(pixel: tuple[int, int]) -> None:
    assert overlaid(maps(7, pixel)).shape == (SIDE, SIDE, 3)


def test_other_maps_cover_all_of_it() -> None:
    drawn = overlaid(maps(None, (4, 4)))
    assert (drawn != enlarged(maps(None, (4, 4)).images[0])).any(axis=2).all()


def test_an_even_map_is_drawn() -> None:
    even = maps(None, (4, 4))
    even.maps[:] = 0.25
    assert len(np.unique(overlaid(even)[:100, :100])) <= 3
