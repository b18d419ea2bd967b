"""Files whose values are not those of 8 bits: what black and white are, and what is said about it."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from dualgan.data.files.checking import Checked
from dualgan.data.files.remarks import contrast_remarks
from dualgan.data.packed import open_packed
from dualgan.data.packed.preparing import prepare
from tests.conftest import RunCLI
from tests.data.image_sets import flat, images, make, png, save

RAMP = np.linspace(0, 1, 64).reshape(8, 8)
GRAY = np.rint(RAMP * 255).astype(np.uint8)


def signed_8_bit(path: Path, pixels: NDArray[np.int8]) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[339] = 2
    Image.fromarray(pixels.view(np.uint8)).save(path, tiffinfo=tags)


KINDS: dict[str, tuple[str, Any, tuple[float, float]]] = {
    "12 bits in 16": ("a.png", np.rint(RAMP * 4095).astype(np.uint16), (0, 4095)),
    "16-bit TIFF": ("a.tif", np.rint(RAMP * 1000 + 500).astype(np.uint16), (500, 1500)),
    "16-bit PGM": ("a.pgm", np.rint(RAMP * 40_000).astype(np.uint16), (0, 40_000)),
    "float": ("a.tif", (RAMP * 3 - 1).astype(np.float32), (-1, 2)),
    "32-bit": ("a.tif", np.rint(RAMP * 200_000 - 100_000).astype(np.int32), (-100_000, 100_000)),
    "8-bit": ("a.png", np.rint(RAMP * 31).astype(np.uint8), (0, 31)),
}


@pytest.mark.parametrize("name", KINDS)
def test_value_range_becomes_black_to_white(root: Path, name: str) -> None:
    file, pixels, (low, high) = KINDS[name]
    save(root / file, pixels)
    pixels = np.asarray(pixels, np.float64)
    expected = np.clip(np.rint((pixels - low) * 255 / (high - low)), 0, 255)
    with warnings.catch_warnings(action="error"):
        data = make(root, value_range=[low, high])
    assert np.abs(images(data)[0, :, :, 0].numpy() - expected).max() <= (1 if "PGM" in name else 0)
    assert expected.min() == 0
    assert expected.max() == 255


def test_signed_bytes_are_read_with_their_sign(root: Path) -> None:
    pixels = np.arange(-32, 32, dtype=np.int8).reshape(8, 8)
    signed_8_bit(root / "a.tif", pixels)
    with pytest.raises(ValueError, match=r"signed 8-bit pixels have no fixed range, and these go from -32 to 31"):
        make(root)
    found = images(make(root, value_range=[-32, 31]))[0, :, :, 0].numpy()
    assert (found == np.rint((pixels + 32.0) * 255 / 63)).all()


def test_one_bit_is_black_and_white(root: Path) -> None:
    save(root / "a.png", np.where(RAMP > 0.5, 255, 0).astype(np.uint8), "1")
    assert set(np.unique(images(make(root)))) == {0, 255}
    assert (images(make(root, value_range=[0, 1])) == images(make(root))).all()


def test_transparency_is_composited_after_scaling(root: Path) -> None:
    half = np.dstack([np.full((8, 8, 3), 31, np.uint8), np.where(RAMP > 0.5, 255, 0).astype(np.uint8)])
    half[..., 0] = 0
    save(root / "a.png", half)
    found = images(make(root, value_range=[0, 31]))[0].numpy()
    assert (found[half[..., 3] == 0] == 255).all()
    assert (found[half[..., 3] == 255] == [0, 255, 255]).all()


@pytest.mark.parametrize("highest", [4095, 1023, 255, 16383])
def test_small_part_of_the_range_is_said_with_the_option_to_give(root: Path, highest: int) -> None:
    for number in range(3):
        save(root / f"{number}.png", np.rint(RAMP * (highest - 7 * number)).astype(np.uint16))
    with pytest.warns(UserWarning, match=f"3 16-bit images go from 0 to {highest} only, of 0 to 65535") as caught:
        dark = make(root)
    option = re.search(r"value_range=\[(\d+), (\d+)\]", str(caught[0].message))
    assert option is not None
    assert (int(option[1]), int(option[2])) == (0, highest)
    assert images(dark).max() < 64
    with warnings.catch_warnings(action="error"):
        assert images(make(root, value_range=[0, highest])).max() == 255


def test_dark_masks_of_8_bits_are_said(root: Path) -> None:
    save(root / "a.png", np.arange(64, dtype=np.uint8).reshape(8, 8) // 4)
    with pytest.warns(UserWarning, match=r"1 8-bit images go from 0 to 15 only.*Pass value_range=\[0, 15\]"):
        make(root)


def test_dark_colours_of_16_bits_are_said_and_their_range_refused(root: Path) -> None:
    pixels = np.rint(RAMP[..., None] * [4095, 4095, 4095]).astype(">u2")
    (root / "a.png").write_bytes(png((8, 8, 16, 2), b"".join(b"\0" + row.tobytes() for row in pixels)))
    with pytest.warns(UserWarning, match=r"1 16-bit colour images go from 0 to 4095 only.*Scale them to 8 bits"):
        make(root)
    with pytest.raises(ValueError, match="16 bits per colour channel, of which Pillow reads 8"):
        make(root, value_range=[0, 4095])


def test_full_range_is_no_alarm_and_its_kind_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(root / "a.png", np.rint(RAMP * 65_000).astype(np.uint16))
    save(root / "b.png", GRAY, "1")
    save(root / "c.png", GRAY)
    with warnings.catch_warnings(action="error"):
        make(root)
    said = capsys.readouterr().err
    assert "16-bit 0 to 65000 (1 files)" in said
    assert "1-bit 0 to 1 (1 files)" in said


def test_8_bit_images_are_not_spoken_of(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(root / "a.png", GRAY)
    make(root)
    assert capsys.readouterr().err == ""


def test_values_without_a_range_are_refused_with_that_of_all_files(root: Path) -> None:
    save(root / "a.tif", RAMP.astype(np.float32))
    save(root / "b.tif", (RAMP * 2 - 0.5).astype(np.float32))
    with pytest.raises(
        ValueError,
        match=r"The values of the 2 float images together go from -0\.5 to 1\.5: pass value_"
        r"range=\[-0\.5, 1\.5\]",
    ):
        make(root)
    make(root, value_range=(-0.5, 1.5))


def test_clipped_values_are_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        save(root / f"{number}.png", np.rint(RAMP * (4000 + 100 * number)).astype(np.uint16))
    make(root, value_range=[0, 4300])
    assert "what lies outside is clipped" not in capsys.readouterr().err
    make(root, value_range=[0, 4050])
    assert "what lies outside is clipped, in 3 images" in capsys.readouterr().err


def test_values_that_are_no_numbers_are_bad(root: Path) -> None:
    save(root / "a.tif", np.where(RAMP > 0.5, np.nan, RAMP).astype(np.float32))
    with pytest.raises(ValueError, match=r"'a\.tif' \(some of its values are not finite"):
        make(root, value_range=[0, 1])


@pytest.mark.parametrize("value_range", [[1, 1], [2, 1], [0], [0, 1, 2], [0, float("nan")], [0, float("inf")]])
def test_impossible_ranges_are_refused(root: Path, value_range: list[float]) -> None:
    save(root / "a.png", GRAY)
    with pytest.raises(ValueError, match=r"value_range \[.*is impossible: expected the values of black and white"):
        make(root, value_range=value_range)


def test_fingerprint_names_the_range(root: Path) -> None:
    save(root / "a.png", GRAY)
    assert len({make(root, value_range=given).fingerprint for given in (None, [0, 255], [0, 128], (0.0, 128.0))}) == 3


def test_packed_set_is_what_training_on_the_files_sees_and_says_its_range(root: Path) -> None:
    for number in range(3):
        save(root / f"{number}.png", np.rint(np.roll(RAMP, number) * 4095).astype(np.uint16))
    packed = root.parent / "packed"
    prepare(root, packed, 8, workers=1, value_range=[0, 4095])
    data = make(root, value_range=[0, 4095])
    again = make(packed)
    assert (images(again) == images(data)).all()
    assert again.fingerprint == data.fingerprint
    assert open_packed(packed).manifest.value_range == [0, 4095]
    assert make(packed, value_range=[0, 4095]).fingerprint == data.fingerprint
    with pytest.raises(ValueError, match=r"packed with value_range \[0, 4095\], and value_range \[0, 255\] is asked"):
        make(packed, value_range=[0, 255])
    assert prepare(root, packed, 8, workers=1, value_range=[0, 4095]).existed
    with pytest.raises(ValueError, match="holds a set of other images or settings"):
        prepare(root, packed, 8, workers=1)


def test_manifest_of_a_plain_set_says_nothing_of_it(root: Path) -> None:
    save(root / "a.png", GRAY)
    prepare(root, root.parent / "packed", 8, workers=1)
    assert "value_range" not in (root.parent / "packed" / "manifest.json").read_text()


def test_inspect_and_prepare_say_the_range_and_take_the_option(run_cli: RunCLI) -> None:
    for number in range(3):
        save(Path("set") / f"{number}.png", np.rint(np.roll(RAMP, number) * 4095).astype(np.uint16))
    out = run_cli.succeeds("inspect", "set")
    assert "values         16-bit 0 to 4095 (3 files)" in out
    assert "Pass value_range=[0, 4095]" in out
    given = ("--value_range", "[0, 4095]")
    out = run_cli.succeeds("inspect", "set", *given)
    assert "Pass value_range" not in out
    assert "mean           0.5000" in out
    assert "value_range [0, 4095]" in out
    with pytest.warns(UserWarning, match="Pass value_range"):
        run_cli.succeeds("prepare", "set", "dark", "--resolution", 8, "--workers", 1)
    run_cli.succeeds("prepare", "set", "packed", "--resolution", 8, "--workers", 1, *given)
    assert open_packed("packed").read(np.arange(3)).max() == 255
    out = run_cli.succeeds("inspect", "packed")
    assert "mean           0.5000" in out
    assert "fingerprint    none" not in out


def test_flat_images_are_no_alarm(root: Path) -> None:
    save(root / "a.png", flat(7, 7, 7))
    with warnings.catch_warnings(action="error"):
        assert set(images(make(root)).flatten().tolist()) == {7}


def test_one_stray_pixel_does_not_hide_that_images_are_dark(root: Path) -> None:
    for number in range(12):
        save(root / f"{number}.png", np.rint(RAMP * (4095 if number else 65535)).astype(np.uint16))
    with pytest.warns(UserWarning, match=r"11 16-bit images go from 0 to 4095 only.*Pass value_range=\[0, 4095\]"):
        make(root)
    highs = [65535, *[4095] * 11]
    checked = [Checked(f"{k}.png", kind="16-bit", low=0, high=high) for k, high in enumerate(highs)]
    dark, clipped = (remark.text for remark in contrast_remarks("set", checked, [0, 20_000]))
    assert "11 16-bit images go from 0 to 4095 only, of 0 to 20000" in dark
    assert "12 16-bit images go from 0 to 65535, and value_range is [0, 20000]" in clipped
    assert "clipped, in 1 images" in clipped


def test_images_of_several_depths_get_no_advice_that_would_spoil_the_others(root: Path) -> None:
    save(root / "a.png", np.rint(RAMP * 4095).astype(np.uint16))
    save(root / "b.png", GRAY)
    with pytest.warns(UserWarning, match="No value_range suits them together with the 8-bit images: bring all to one"):
        make(root)
