"""Contact sheets."""

import numpy as np
from PIL import Image

from dualgan.pictures.contact_sheet import TILE, Group, contact_sheet, font


def test_white_images_are_seen() -> None:
    groups = [Group([Image.new("RGB", (16, 16), "white")]) for _ in range(3)]
    sheet = np.asarray(contact_sheet(groups, 3, ""))
    row = sheet[sheet.shape[0] // 2 + 10, :, 0]
    edges = np.flatnonzero(row != 255)
    assert len(edges) == 6
    assert [int(right - left) - 1 for left, right in edges.reshape(3, 2)] == [TILE] * 3


def test_words_of_a_title_are_apart() -> None:
    for size in (11, 18):
        drawn = font(size)
        assert drawn.getlength("3,786 images") - drawn.getlength("3,786images") > size / 4
