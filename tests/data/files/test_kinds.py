"""Which files of a folder or zip are images, and what is said about the others."""

import io
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from dualgan.data.files import listing
from dualgan.data.files.folder import FolderFiles
from dualgan.data.files.opening import open_files
from tests.conftest import TINY, RunCLI
from tests.data.image_sets import COLORFUL, images, make, save

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
WRITABLE = "PNG JPEG WEBP AVIF GIF TIFF BMP JPEG2000 PPM QOI TGA PCX SGI ICO DDS"
NEVER = {name: b"x" for name in ("Thumbs.db", "desktop.ini", ".DS_Store", ".a.jpg")} | {"dataset.json": b"[]"}


def content(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(COLORFUL).resize((16, 16)).save(file, kind)
    return file.getvalue()


def put(root: Path, files: dict[str, bytes], zipped: bool) -> Path:
    """Write files into a folder or a zip."""
    if not zipped:
        root.mkdir(exist_ok=True)
        for name, written in files.items():
            (root / name).write_bytes(written)
        return root
    archive = root.parent / "files.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, written in files.items():
            file.writestr(name, written)
    return archive


def listed(root: Path) -> list[str]:
    return [entry.name for entry in open_files(root, "").entries()]


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_what_pillow_can_read_by_content_is_an_image(root: Path, zipped: bool) -> None:
    files = {f"a.{suffix}": content("JPEG") for suffix in ("jfif", "jpe", "JIF", "png", "dat", "img", "heic")}
    files |= {"no suffix": content("PNG"), "b.avif": content("AVIF"), "b": content("AVIF"), "c.bin": content("TIFF")}
    others = {"notes": b"BMW, P5 and II are no magic", "README.txt": b"text", "data.csv": b"BM1,2", "Py": b"Python"}
    place = put(root, {**files, **others, **NEVER}, zipped)
    assert listed(place) == sorted(files)
    assert images(make(place)).shape == (len(files), 8, 8, 3)


@pytest.mark.parametrize("kind", WRITABLE.split())
def test_every_format_is_read_under_its_own_suffix_and_under_another(root: Path, kind: str) -> None:
    suffix = {"JPEG2000": "jp2", "TIFF": "tif"}.get(kind, kind.lower())
    put(root, {f"a.{suffix}": content(kind), "b.png": content(kind)}, zipped=False)
    first, second = images(make(root))
    assert (first == second).all()


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_what_is_left_out_is_counted_by_suffix(root: Path, zipped: bool) -> None:
    files = {f"{number}.heic": HEIC for number in range(3)}
    files |= {"a.txt": b"a", "b.TXT": b"", "c": b"c", "d.nef": content("TIFF")}
    place = put(root, {"good.png": content("PNG"), **files, **NEVER}, zipped)
    source = open_files(place, "")
    assert [entry.name for entry in source.entries()] == ["good.png"]
    (remark,) = source.remarks
    assert remark.alarm
    assert remark.text == (
        f"Left out 7 files of '{place}': 3 .heic (Pillow here cannot read them), 2 .txt, 1 without suffix, 1 .nef "
        f"(camera raw: only its preview could be read)"
    )


def test_text_beside_images_is_no_alarm(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(root, {"good.png": content("PNG"), "README.txt": b"text"}, zipped=False)
    with warnings.catch_warnings(action="error"):
        make(root)
    assert capsys.readouterr().err.count(f"Left out 1 file of '{root}': 1 .txt") == 1


def test_pictures_that_are_left_out_are_an_alarm_once(root: Path) -> None:
    put(root, {"good.png": content("PNG"), "a.heic": HEIC}, zipped=False)
    with pytest.warns(UserWarning, match=r"1 \.heic \(Pillow here cannot read them\)") as caught:
        make(root)
    assert len(caught) == 1


def test_folder_of_nothing_else_says_what_was_left_out(root: Path) -> None:
    put(root, {"a.heic": HEIC}, zipped=False)
    with pytest.raises(ValueError, match=r"holds no images.*Left out 1 file of .*: 1 \.heic \(Pillow here cannot read"):
        make(root)


def test_listing_opens_no_file_with_the_suffix_of_an_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.png", "a.jpg", "c/d.webp", "e.AVIF"):
        save(root / name)
    monkeypatch.setattr(FolderFiles, "opened", None)
    assert listed(root) == ["a.jpg", "b.png", "c/d.webp", "e.AVIF"]


def test_many_files_of_one_suffix_are_not_all_looked_into(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_LOOKS", 3)
    texts = {f"{number}.cap": b"a caption" for number in range(9)}
    photographs = {f"{number}.raw_jpeg": content("JPEG") for number in range(9)}
    put(root, {**texts, **photographs}, zipped=False)
    seen: list[str] = []
    opened = FolderFiles.opened

    def look(files: FolderFiles, name: str) -> BinaryIO:
        seen.append(name)
        return opened(files, name)

    monkeypatch.setattr(FolderFiles, "opened", look)
    files = FolderFiles(root)
    assert len(files.entries()) == len(photographs)
    assert sum(name.endswith(".cap") for name in seen) == 3
    assert "9 .cap (only 3 were looked into)" in files.remarks[0].text


@pytest.mark.parametrize("verb", ["fit", "inspect", "prepare"])
def test_every_verb_says_what_is_left_out_once(verb: str, run_cli: RunCLI) -> None:
    files = {f"{number}.png": content("PNG") for number in range(8)}
    put(Path("set"), {**files, "a.txt": b"text", "b.txt": b"more"}, zipped=False)
    words: dict[str, list[object]] = {
        "fit": [*TINY, "--data", "ImageFolder", "--data.root", "set", "--data.resolution", 8, "--data.batch_size", 8],
        "inspect": ["set"],
        "prepare": ["set", "out", "--resolution", 8, "--workers", 1],
    }
    outcome = run_cli(verb, *words[verb])
    assert outcome.code == 0, outcome.err
    assert (outcome.out + outcome.err).count("Left out 2 files of 'set': 2 .txt") == 1


def test_folders_of_png_are_what_they_were(root: Path) -> None:
    for number in range(3):
        save(root / f"{number}.png", np.full((8, 8, 3), 80 * number, np.uint8))
    assert make(root).fingerprint == "52e87a2fe567e6a6"  # of dualgan before it looked into files
