"""What the data module does with files that are broken, hostile or unusual."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dualgan.data.files.base import Entry, ImageFile
from dualgan.data.files.checking import in_parallel
from dualgan.data.files.folder import FolderFiles
from tests.data.image_sets import COLORFUL, flat, images, make, png, save

EIGHT = COLORFUL[:8, :8]


def encoded(pixels: NDArray[np.uint8] = EIGHT, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def peak_of(call: Callable[[], None]) -> int:
    """Bytes by which the memory of this process rises at most during a call."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        pytest.skip("this system does not tell the peak of a process's memory")
    before = high_water()
    call()
    return high_water() - before


def high_water() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def zipped(root: Path, **members: bytes) -> Path:
    archive = root.parent / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"no image at all", "the content is no image that Pillow can read by itself"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n", "the content is no image"),
        (encoded(COLORFUL)[:300], "truncated"),
        (encoded(COLORFUL, "JPEG")[:-150], "truncated"),
        (encoded(COLORFUL, "WEBP")[:100], "image"),
        (encoded(COLORFUL, "BMP")[:300], "truncated"),
        (encoded(COLORFUL, "TIFF")[:300], "unpack requires|truncated|no image"),
    ],
    ids=["empty", "text", "postscript", "png", "jpeg", "webp", "bmp", "tiff"],
)
def test_broken_file_is_named_with_its_fault(root: Path, content: bytes, complaint: str) -> None:
    save(root / "good.png")
    (root / "broken.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"1 image that cannot be decoded: 'broken\.png' \(.*({complaint})"):
        make(root)


def test_bomb_is_refused_without_its_pixels(root: Path) -> None:
    side = 20_000
    (root / "bomb.png").write_bytes(png((side, side, 1, 0), bytes(side * (1 + side // 8))))
    save(root / "good.png", EIGHT)

    def refuse() -> None:
        with pytest.raises(ValueError, match=r"'bomb\.png' \(.*400000000 pixels"):
            make(root)

    assert peak_of(refuse) < 100 * 2**20  # decoded, it is four times as large


def test_file_that_is_too_large_for_an_image_is_not_read(root: Path) -> None:
    with (root / "a.png").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ValueError, match=r"'a\.png' \(1073741824 bytes are more than the \d+ that an image"):
        make(root)


def test_zip_member_is_not_inflated_beyond_what_it_declares(root: Path) -> None:
    archive = root.parent / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, declared in (("small.png", 1000), ("large.png", 2**40)):
            with file.open(name, "w") as member:
                for _ in range(200 if name == "small.png" else 1):
                    member.write(bytes(2**20))
            file.getinfo(name).file_size = declared

    def refuse() -> None:
        with pytest.raises(
            ValueError, match=r"large\.png' \(1099511627776 bytes are more.*small\.png' \(BadZipFile: Bad CRC"
        ):
            make(archive)

    assert peak_of(refuse) < 100 * 2**20


def test_encrypted_member_is_named(root: Path) -> None:
    archive = root.parent / "secret.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("open.png", encoded())
        file.writestr("secret.png", encoded())
        file.getinfo("secret.png").flag_bits |= 1
    with pytest.raises(ValueError, match=r"'secret\.png' \(the member is encrypted: unpack the zip"):
        make(archive)


def test_unusual_compression_is_named(root: Path) -> None:
    archive = root.parent / "lzma.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.png", encoded())
    with pytest.raises(ValueError, match=r"'a\.png' \(the member is neither stored nor deflated: pack the zip again"):
        make(archive)


UNSAFE = [
    "../up.png",
    "a/../../up.png",
    "/absolute.png",
    "..\\up.png",
    "\\absolute.png",
    "C:\\drive.png",
    "c:drive.png",
]


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_out_of_a_zip_are_left_out_and_counted(root: Path, name: str) -> None:
    archive = zipped(root, **{"good.png": encoded(), name: encoded()})
    with pytest.warns(UserWarning, match=r"left out members that lie outside of the zip \(1, such as "):
        data = make(archive)
    assert data.dataset_size == 1


def test_nested_zips_are_left_out_and_counted(root: Path) -> None:
    inner = zipped(root, **{"a.png": encoded()}).read_bytes()
    archive = zipped(root, **{"good.png": encoded(), "more/inner.zip": inner})
    with pytest.warns(UserWarning, match=r"left out zip files inside.*\(1, such as 'more/inner\.zip'\); unpack them"):
        assert make(archive).dataset_size == 1
    (root / "INNER.ZIP").write_bytes(inner)
    with pytest.raises(ValueError, match=r"holds no images.*such as 'INNER\.ZIP'"):
        make(root)


def test_last_of_several_members_of_one_name_counts(root: Path) -> None:
    archive = root.parent / "twice.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", encoded())
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("a.png", encoded(flat(1, 200, 3)))
    with pytest.warns(UserWarning, match=r"all but the last of the members with one name \(1, such as 'a\.png'\)"):
        data = make(archive)
    assert (images(data).numpy() == flat(1, 200, 3)).all()
    assert data.dataset_size == 1


def test_names_in_any_script_are_read(root: Path) -> None:
    names = ["über mich.png", "写真 1/写真.png", "12:30.png", "a\\.b.png", "-x.png", "two\nlines.png"]
    for number, name in enumerate(sorted(names)):
        save(root / name, flat(number, 255, 0))
    save(Path(os.fsdecode(os.fsencode(root) + b"/\xff.png")), flat(len(names), 255, 0))
    data = make(root)
    assert images(data)[:, 0, 0, 0].tolist() == list(range(len(names) + 1))
    in_zip = zipped(root, **{name: (root / name).read_bytes() for name in names if "\\" not in name})
    assert make(in_zip).dataset_size == len(names) - 1


def test_zip_names_in_another_encoding_are_read(root: Path) -> None:
    archive = zipped(root, **{"QQQQ.png": encoded()})
    archive.write_bytes(archive.read_bytes().replace(b"QQQQ", "写真".encode("shift_jis")))
    assert (images(make(archive)).numpy() == EIGHT).all()


def test_damaged_zips_are_refused(root: Path) -> None:
    archive = zipped(root, **{"é.png": encoded()})
    content = archive.read_bytes()
    archive.write_bytes(content.replace("é".encode(), b"\xc3\xff"))
    with pytest.raises(ValueError, match=r"images\.zip' is a damaged zip"):
        make(archive)
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"neither a folder nor a zip file \(or it is a zip that is cut off"):
        make(archive)
    archive.write_bytes(content.replace(encoded()[40:50], bytes(10)))
    with pytest.raises(ValueError, match=r"'é\.png' \(BadZipFile: Bad CRC-32"):
        make(archive)


def test_backslashes_in_a_zip_are_folders(root: Path) -> None:
    archive = zipped(root, **{"in\\a.png": encoded(), "in\\.hidden.png": b"", "__MACOSX\\b.png": b""})
    assert make(archive).dataset_size == 1


def test_links_to_folders_are_left_out_and_counted(root: Path) -> None:
    save(root / "a.png", EIGHT)
    (root / "deep").mkdir()
    (root / "deep" / "loop").symlink_to(root, target_is_directory=True)
    with pytest.warns(UserWarning, match=r"left out links to folders \(1, such as 'deep/loop'\); pass the folder"):
        assert make(root).dataset_size == 1


def test_links_to_files_are_read_and_dead_ones_named(root: Path) -> None:
    save(root.parent / "elsewhere.png", EIGHT)
    (root / "a.png").symlink_to(root.parent / "elsewhere.png")
    assert make(root).dataset_size == 1
    (root / "dead.png").symlink_to(root / "nowhere.png")
    (root / "self.png").symlink_to(root / "self.png")
    with pytest.raises(ValueError, match=r"2 images.*'dead\.png' \(No such file.*'self\.png' \(Too many levels"):
        make(root)


def test_pipes_are_no_images(root: Path) -> None:
    save(root / "a.png", EIGHT)
    os.mkfifo(root / "pipe.png")
    assert make(root).dataset_size == 1


def test_unreadable_files_are_named_until_they_can_be_read(root: Path) -> None:
    save(root / "deep" / "a.png", EIGHT)
    (root / "deep" / "a.png").chmod(0)
    if os.access(root / "deep" / "a.png", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ValueError, match=r"'deep/a\.png' \(Permission denied\)"):
        make(root)
    (root / "deep" / "a.png").chmod(0o600)
    assert make(root).dataset_size == 1
    (root / "deep").chmod(0)
    try:
        with pytest.raises(ValueError, match=r"deep' cannot be listed \(Permission denied\)"):
            make(root)
    finally:
        (root / "deep").chmod(0o700)


def test_file_that_could_not_be_read_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png"):
        save(root / name, EIGHT)
    read = FolderFiles.read
    seen: list[str] = []

    def fails(files: FolderFiles, name: str) -> ImageFile:
        seen.append(name)
        if len(seen) <= 2 and name == "b.png":
            raise OSError(5, "Input/output error")
        return read(files, name)

    monkeypatch.setattr(FolderFiles, "read", fails)
    with pytest.raises(ValueError, match=r"'b\.png' \(Input/output error\)"):
        make(root)
    make(root)
    assert sorted(seen) == ["a.png", "b.png", "b.png"]


ORIENTED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", ORIENTED)
def test_exif_orientation_is_undone_exactly(root: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(root / f"a.{kind}", EIGHT, exif=exif, lossless=True)
    assert (images(make(root))[0].numpy() == ORIENTED[orientation](EIGHT)).all()


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["gray", "RGB", "LA", "RGBA"])
def test_sixteen_bit_pngs_lose_their_low_byte(root: Path, kind: int, channels: int) -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (8, 8, channels), np.uint16)
    if channels in (2, 4):
        pixels[..., -1] = 65535
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    (root / "a.png").write_bytes(png((8, 8, 16, kind), rows))
    colors = 1 if channels < 3 else 3
    assert (images(make(root))[0].numpy() == pixels[..., :colors] // 256).all()


def test_cmyk_of_a_tiff_and_of_an_inverted_jpeg_show_the_same(root: Path) -> None:
    cmyk = Image.fromarray(np.broadcast_to(np.array([200, 30, 60, 10], np.uint8), (16, 16, 4)).copy(), "CMYK")
    cmyk.save(root / "adobe.jpg", quality=100)
    cmyk.save(root / "plain.tif")
    assert b"\xff\xee\x00\x0eAdobe" in (root / "adobe.jpg").read_bytes()  # says that the values are inverted
    expected = np.asarray(cmyk.convert("RGB"))[0, 0].astype(int)
    assert np.abs(images(make(root)).numpy() - expected).max() <= 2


def test_palettes_are_looked_up(root: Path) -> None:
    palette = Image.fromarray(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 4, 0).repeat(4, 1), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 0, 0, 0])
    palette.save(root / "a.png")
    palette.save(root / "b.png", transparency=bytes([255, 0, 255, 255]))
    opaque, transparent = images(make(root)).numpy()
    assert opaque[[0, 0, 7, 7], [0, 7, 0, 7]].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90], [0, 0, 0]]
    assert (transparent[:4, 4:] == 255).all()
    assert (transparent[4:] == opaque[4:]).all()


def test_transparent_colour_of_an_opaque_mode_becomes_white(root: Path) -> None:
    save(root / "rgb.png", EIGHT, transparency=tuple(EIGHT[0, 0].tolist()))
    save(root / "l.png", flat(7, 7, 7), "L", transparency=7)
    save(root / "one.png", flat(0, 0, 0), "1", transparency=0)
    gray, one, color = images(make(root, num_channels=3)).numpy()
    assert gray.min() == one.min() == 255
    assert color[0, 0].tolist() == [255, 255, 255]
    assert (color[1:] == EIGHT[1:]).all()


def test_pictures_of_several_views_give_the_first(root: Path) -> None:
    views = [Image.fromarray(flat(value, value, value, side=16)) for value in (200, 10)]
    views[0].save(root / "phone.jpg", "MPO", save_all=True, append_images=views[1:])
    assert images(make(root)).min() >= 198


def test_wide_and_tall_images_of_all_sizes_make_one_batch(root: Path) -> None:
    for height, width in ((8, 30), (30, 8), (9, 9), (64, 11)):
        save(root / f"{height}x{width}.png", np.resize(COLORFUL, (height, width, 3)))
    assert images(make(root)).shape == (4, 8, 8, 3)


def test_stopping_does_not_wait_for_the_whole_set() -> None:
    done: list[str] = []
    results = in_parallel(lambda entry: done.append(entry.name), [Entry(str(n), "") for n in range(10_000)], "Test")
    next(results)
    results.close()
    assert len(done) < 500
