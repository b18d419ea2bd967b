"""Files of the page's pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from dualgan.explore.picture_files import KEPT, PictureFiles


def picture(number: int) -> np.ndarray:
    return np.full((4, 4, 3), number, np.uint8)


def test_a_picture_that_comes_again_is_not_written_again(tmp_path: Path) -> None:
    files = PictureFiles(tmp_path)
    first = Path(files.of(picture(7)))
    before = first.stat()
    assert files.of(picture(7)) == str(first)
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert files.of(picture(8)) != str(first)
    with Image.open(first) as image:
        np.testing.assert_array_equal(np.asarray(image), picture(7))


def test_old_ones_are_removed(tmp_path: Path) -> None:
    files = PictureFiles(tmp_path)
    paths = [Path(files.of(picture(k))) for k in range(KEPT + 5)]
    assert [path.exists() for path in paths] == [False] * 5 + [True] * KEPT
    assert len(list(tmp_path.iterdir())) == KEPT
    assert Path(files.of(picture(0))).exists()
