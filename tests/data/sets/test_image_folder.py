import io
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.data.image_sets import COLORFUL, flat, images, make, save


def test_files_of_all_formats_and_sizes_come_in_the_order_of_their_names(root: Path) -> None:
    names = ["b.png", "a/z.jpg", "a/y.jpeg", "c.webp", "d.bmp", "e.gif", "f.tif", "G.PNG"]
    for size, name in enumerate(names):
        save(root / name, flat(20 * size, 0, 0, side=8 + size))
    (root / "notes.txt").write_text("not an image")
    (root / ".hidden.png").write_bytes(b"not an image")
    reds = images(make(root))[:, 4, 4, 0].tolist()
    expected = [20 * names.index(name) for name in sorted(names)]
    assert reds == pytest.approx(expected, abs=4)


def test_centre_is_cropped_and_resized_with_the_named_filter(root: Path) -> None:
    wide = np.zeros((16, 40, 3), np.uint8)
    wide[:, 12:28] = np.random.default_rng(1).integers(0, 256, (16, 16, 3))
    save(root / "a.png", wide)
    box, lanczos = images(make(root, resize_filter="box")), images(make(root, resize_filter="lanczos"))
    by_hand = wide[:, 12:28].reshape(8, 2, 8, 2, 3).mean((1, 3))
    assert np.abs(box[0].numpy() - by_hand).max() <= 1
    assert not torch.equal(box, lanczos)


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3), ("YCbCr", 3)],
)
def test_colour_modes_are_understood(root: Path, mode: str, channels: int) -> None:
    if mode in ("CMYK", "YCbCr"):  # compressed: Pillow 12 cannot read the raw YCbCr that it writes
        save(root / "a.tif", flat(255, 255, 255), mode, compression="tiff_lzw")
    else:
        save(root / "a.png", flat(255, 255, 255), mode)
    data = make(root)
    assert data.num_channels == channels
    assert images(data).shape == (1, 8, 8, channels)
    assert images(data).min() >= 250


def test_transparent_pixels_become_white(root: Path) -> None:
    palette = Image.fromarray(flat(10, 20, 30)).quantize(2)
    save(root / "a.png", flat(10, 20, 30, 0))
    save(root / "b.png", flat(0, 128))
    palette.save(root / "c.png", transparency=palette.getpixel((0, 0)))
    pixels = images(make(root, num_channels=3))
    assert pixels[[0, 2]].min() == 255
    assert pixels[1].float().mean() == pytest.approx(127, abs=1)


def test_sixteen_bits_are_scaled_to_eight(root: Path) -> None:
    save(root / "a.png", np.full((8, 8), 40_000, np.uint16))
    data = make(root)
    assert data.num_channels == 1
    assert (images(data) == 40_000 // 256).all()


def test_zip_is_read_like_the_folder_also_by_workers(root: Path) -> None:
    for number in range(4):
        save(root / f"{number}.png", np.roll(COLORFUL, number, 0))
    archive = root.parent / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.iterdir()):
            file.write(path, f"inside/{path.name}")
        for name in ("__MACOSX/inside/._0.png", "inside/.hidden.png"):
            file.writestr(name, b"not an image")
    data = make(archive, num_workers=2)
    assert torch.equal(images(data), images(make(root)))
    assert data.fingerprint == make(root).fingerprint


def test_check_runs_once_and_again_when_a_file_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(root / "a.png")
    first = make(root).fingerprint
    with monkeypatch.context() as patch:
        patch.setattr("dualgan.data.files.base.decode", None)
        assert make(root).fingerprint == first
    save(root / "a.png", COLORFUL[::-1].copy())
    os.utime(root / "a.png", (1, 1))
    assert make(root).fingerprint != first


def test_damaged_report_is_made_again(root: Path) -> None:
    save(root / "a.png")
    first = make(root).fingerprint
    (report,) = (root.parent / "cache").rglob("*.json")
    for content in ("[{", '[{"colour": 1}]', "[]"):
        report.write_text(content)
        assert make(root).fingerprint == first


def test_fingerprint_names_the_preparation(root: Path) -> None:
    save(root / "a.png")
    settings: list[dict[str, Any]] = [{}, {"resolution": 16}, {"resize_filter": "box"}, {"num_channels": 1}]
    assert len({make(root, **changes).fingerprint for changes in settings}) == 4


def test_missing_root_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no folder or zip of images at '.*nowhere'. Download FFHQ"):
        make(tmp_path / "nowhere", hint="Download FFHQ and unpack it there.")
    with pytest.raises(ValueError, match="Check the path"):
        make(tmp_path / "nowhere")


def test_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.zip' is neither a folder nor a zip"):
        make(tmp_path / "a.zip")


def test_folder_without_images_is_refused(root: Path) -> None:
    (root / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r"images' holds no images: expected files.*1 \.txt"):
        make(root)


def add_broken(root: Path, count: int) -> None:
    content = io.BytesIO()
    Image.fromarray(COLORFUL).save(content, "PNG")
    for number in range(count):
        (root / f"bad{number:02}.png").write_bytes(content.getvalue()[: 40 + 10 * number])


def test_broken_images_are_named_and_counted(root: Path) -> None:
    save(root / "good.png")
    add_broken(root, 12)
    with pytest.raises(
        ValueError, match=r"holds 12 images.*bad00\.png.*bad09\.png.*and 2 more.*skip_bad_images"
    ) as error:
        make(root)
    assert "bad10" not in str(error.value)


def test_broken_images_can_be_skipped(root: Path) -> None:
    save(root / "good.png")
    add_broken(root, 2)
    with pytest.warns(UserWarning, match="going on without 2 images"):
        data = make(root, skip_bad_images=True)
    assert data.dataset_size == 1


def test_nothing_but_broken_images_is_refused(root: Path) -> None:
    add_broken(root, 2)
    with pytest.raises(ValueError, match="no image can be decoded: 2 images"):
        make(root, skip_bad_images=True)


@pytest.mark.parametrize("limit", [300, 150])  # Pillow warns from 400 > limit on, and raises from 400 > 2 * limit on
def test_decompression_bombs_are_bad_images(root: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    save(root / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(ValueError, match=r"bomb\.png"):
            make(root)


@pytest.mark.parametrize("pixels", [np.ones((8, 8), np.float32), np.full((8, 8), 70_000, np.int32)])
def test_pixels_without_a_range_are_bad_images(root: Path, pixels: NDArray[Any]) -> None:
    save(root / "a.tif", pixels)
    with pytest.raises(ValueError, match=r"a\.tif' \(.*pixels have no fixed range, and these go from \d+"):
        make(root)


def test_gray_and_colour_together_need_a_decision(root: Path) -> None:
    save(root / "a.png", mode="L")
    save(root / "b.png")
    save(root / "c.png")
    with pytest.raises(ValueError, match=r"1 gray images \(such as 'a\.png'\) and 2 colour.*'b\.png'.*num_channels=3"):
        make(root)
    for channels in (1, 3):
        assert images(make(root, num_channels=channels)).shape == (3, 8, 8, channels)


def test_small_images_are_enlarged_with_one_warning(root: Path) -> None:
    for number in range(3):
        save(root / f"{number}.png", flat(9, 9, 9, side=6 + number))
    with pytest.warns(UserWarning, match="2 of 3 images are smaller than resolution 8") as caught:
        data = make(root)
    assert len(caught) == 1
    assert images(data).shape == (3, 8, 8, 3)


def test_unknown_options_name_the_valid_ones(root: Path) -> None:
    with pytest.raises(ValueError, match="'cubic' is unknown: expected 'box' or 'lanczos'"):
        make(root, resize_filter="cubic")
    with pytest.raises(ValueError, match="num_channels 4 is impossible"):
        make(root, num_channels=4)
