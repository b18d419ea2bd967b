"""Near duplicates: copies are found, and flat icons that only look alike to a gray hash are not."""

import io
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dualgan.data.duplicates import distances, near_groups, thumbnail

NEAR = 0.05  # the default of `dualgan inspect`
SIDE = 72

FLAGS = {  # three stripes, the first six upright
    "France": ("#0055A4", "#ffffff", "#EF4135"),
    "Italy": ("#009246", "#ffffff", "#CE2B37"),
    "Andorra": ("#10069f", "#fedd00", "#d50032"),
    "Romania": ("#002B7F", "#FCD116", "#CE1126"),
    "Ireland": ("#169B62", "#ffffff", "#FF883E"),
    "Belgium": ("#000000", "#FAE042", "#ED2939"),
    "Germany": ("#000000", "#DD0000", "#FFCE00"),
    "Netherlands": ("#AE1C28", "#ffffff", "#21468B"),
    "Luxembourg": ("#ED2939", "#ffffff", "#00A1DE"),
    "Russia": ("#ffffff", "#0039A6", "#D52B1E"),
}


def flag(name: str) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    for number, color in enumerate(FLAGS[name]):
        if list(FLAGS).index(name) < 6:
            draw.rectangle((number * 24, 12, number * 24 + 23, 59), fill=color)
        else:
            draw.rectangle((4, 12 + number * 16, 68, 27 + number * 16), fill=color)
    return image


def disc(color: str) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(image).ellipse((6, 6, 66, 66), fill=color)
    return image


def clock(hour: int) -> Image.Image:
    image = disc("#eeeeee")
    draw = ImageDraw.Draw(image)
    angle = hour * math.pi / 6
    draw.line((36, 36, 36 + 16 * math.sin(angle), 36 - 16 * math.cos(angle)), fill="black", width=4)
    draw.line((36, 36, 36, 10), fill="black", width=3)
    return image


ICONS = {
    **{name: flag(name) for name in FLAGS},
    **{name: disc(color) for name, color in {"new moon": "#444444", "full moon": "#ffd93b", "sun": "#ffb000"}.items()},
    **{f"{hour} o'clock": clock(hour) for hour in range(1, 12)},
}


def copied(image: Image.Image, quality: int, side: int | None = None) -> Image.Image:
    """An image as another size and a JPEG make it."""
    file = io.BytesIO()
    image = image if side is None else image.resize((side, side), Image.Resampling.LANCZOS)
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def colors(images: list[Image.Image]) -> NDArray[np.uint8]:
    return np.stack([thumbnail(image) for image in images])


def test_flat_icons_that_differ_in_colour_or_in_a_detail_are_no_duplicates() -> None:
    groups = near_groups(colors(list(ICONS.values())), NEAR)
    names = list(ICONS)
    assert [[names[member] for member in group] for group in groups] == []


@pytest.mark.parametrize(("quality", "side"), [(30, None), (50, 48), (75, 36), (90, 200)])
def test_recompressed_and_resized_copies_of_icons_are_found_and_with_nothing_else(
    quality: int, side: int | None
) -> None:
    images = list(ICONS.values())
    both = colors([*images, *(copied(image, quality, side) for image in images)])
    assert near_groups(both, NEAR) == [[number, number + len(images)] for number in range(len(images))]


def test_copies_of_photographs_are_found() -> None:
    from skimage import data

    photographs = [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "coffee", "chelsea", "rocket")]
    smaller = [copied(image.reduce(3), 40) for image in photographs]
    assert near_groups(colors([*photographs, *smaller]), NEAR) == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_distance_is_a_part_of_the_way_from_black_to_white() -> None:
    black, white, gray = (thumbnail(Image.new("L", (20, 30), level)) for level in (0, 255, 51))
    assert distances(black, np.stack([black, gray, white])) == pytest.approx([0, 0.2, 1])


def crowded() -> NDArray[np.uint8]:
    """Colours of 300 images, a hundred of them with two relatives at some distance."""
    rng = np.random.default_rng(0)
    firsts = rng.integers(40, 215, (100, 144, 3))
    noise = rng.normal(size=(300, 144, 3)) * rng.choice([0, 2, 10, 20], (300, 1, 1))
    images: NDArray[np.uint8] = np.clip(np.repeat(firsts, 3, axis=0) + noise, 0, 255).astype(np.uint8)
    return images


@pytest.mark.parametrize("distance", [0.0, 0.02, 0.06, 0.2])
def test_groups_are_those_of_a_comparison_of_all_pairs(distance: float) -> None:
    images = crowded()
    expected: list[list[int]] = []
    free = list(range(len(images)))
    while free:
        first, *rest = free
        far = distances(images[first], images[rest])
        near = {other for other, away in zip(rest, far, strict=True) if away <= distance}
        expected += [[first, *sorted(near)]] if near else []
        free = [other for other in rest if other not in near]
    assert near_groups(images, distance) == expected
    assert len(expected) > 2


def test_groups_do_not_depend_on_how_many_pairs_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = near_groups(crowded(), 0.06)
    monkeypatch.setattr("dualgan.data.duplicates._MANY_PAIRS", 3)
    monkeypatch.setattr("dualgan.data.duplicates._CHUNK", 7)
    assert near_groups(crowded(), 0.06) == whole


def test_groups_do_not_chain() -> None:
    ramp = np.stack([np.full((144, 3), level, np.uint8) for level in range(100, 160, 6)])
    assert near_groups(ramp, 0.05) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize(("side", "height"), [(64, 28), (28, 20)])
def test_letters_on_a_sheet_are_themselves_and_no_others(side: int, height: int) -> None:
    def letter(which: str) -> Image.Image:
        sheet = Image.new("RGB", (side, side), "white")
        font = ImageFont.load_default(height)
        ImageDraw.Draw(sheet).text((side / 2, side / 2), which, fill=(90, 90, 90), font=font, anchor="mm")
        return sheet

    images = [letter(which) for which in "abcdefghjkmnpqrstuvwxyzABDEFGHJKLMNPQRTY23456789"]
    copies = [copied(image, 80) for image in images]
    assert near_groups(colors(images), NEAR) == []
    assert near_groups(colors([*images, *copies]), NEAR) == [[k, k + len(images)] for k in range(len(images))]
