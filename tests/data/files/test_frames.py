"""Files of several frames: said, and all of them taken where that is asked for."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualgan.data.files.listing import ListedFiles
from dualgan.data.packed import open_packed
from dualgan.data.packed.preparing import prepare
from tests.conftest import RunCLI
from tests.data.image_sets import flat, images, make, save

LEVELS = (0, 120, 240)
FORMATS = {"TIFF": "a.tif", "GIF": "a.gif", "WEBP": "a.webp", "PNG": "a.png", "MPO": "a.jpg", "AVIF": "a.avif"}


def animated(path: Path, kind: str, levels: tuple[int, ...] = LEVELS, side: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = (Image.fromarray(flat(level, level, level, side=side)) for level in levels)
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    first.save(path, kind, save_all=True, append_images=others, **options)


@pytest.mark.parametrize("kind", FORMATS)
def test_first_of_several_frames_is_taken_and_that_is_said(
    root: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    animated(root / FORMATS[kind], kind)
    save(root / "z.png", flat(255, 255, 255))
    data = make(root)
    assert data.dataset_size == 2
    said = capsys.readouterr().err
    assert f"1 of 2 images of '{root}' are the first of several frames ({kind} 1 with 3 frames)" in said
    assert "all_frames=true" in said


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_all_frames_are_images_of_their_own(root: Path, kind: str, zipped: bool) -> None:
    animated(root / FORMATS[kind], kind)
    save(root / "z.png", flat(255, 255, 255))
    place = root
    if zipped:
        place = root.parent / "files.zip"
        with zipfile.ZipFile(place, "w") as file:
            for path in root.iterdir():
                file.write(path, path.name)
    data = make(place, all_frames=True)
    found = images(data)[:, 4, 4].float().mean(-1)
    assert found.tolist() == pytest.approx([*LEVELS, 255], abs=6)
    assert list(data._ready()[0].names or ()) == [*(f"{FORMATS[kind]}#{frame}" for frame in range(3)), "z.png"]
    assert data.fingerprint == make(place, all_frames=True).fingerprint != make(place).fingerprint


def test_number_in_the_name_of_a_file_is_no_frame(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    animated(root / "a #1.gif", "GIF")
    make(root)
    assert "first of several frames" in capsys.readouterr().err
    assert make(root, all_frames=True).dataset_size == 3
    assert "first of several frames" not in capsys.readouterr().err


def test_names_of_many_frames_are_in_their_order(root: Path) -> None:
    animated(root / "a.gif", "GIF", tuple(range(0, 240, 20)))
    names = list(make(root, all_frames=True)._ready()[0].names or ())
    assert names == [f"a.gif#{frame:02}" for frame in range(12)] == sorted(names)


def test_files_of_one_frame_are_the_same_set_with_and_without(root: Path) -> None:
    for number in range(3):
        save(root / f"{number}.png", flat(100 * number, 0, 0))
    assert make(root, all_frames=True).fingerprint == make(root).fingerprint


def test_labels_of_a_file_are_those_of_its_frames(root: Path) -> None:
    animated(root / "a.gif", "GIF")
    save(root / "b.png", flat(255, 255, 255))
    (root / "dataset.json").write_text(json.dumps({"labels": [["a.gif", 1], ["b.png", 0]]}))
    data = make(root, all_frames=True, use_labels=True)
    assert data._ready()[0].labels is not None
    assert data.label_counts is not None
    assert data.label_counts.tolist() == [1, 3]


def test_frames_are_counted_once_and_again_when_a_file_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    animated(root / "a.gif", "GIF")
    make(root, all_frames=True)
    with monkeypatch.context() as patch:
        patch.setattr("dualgan.data.files.listing.count_frames", None)
        assert make(root, all_frames=True).dataset_size == 3
    animated(root / "a.gif", "GIF", LEVELS[:2])
    assert make(root, all_frames=True).dataset_size == 2


def test_frames_are_not_counted_by_opening_files_unless_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    animated(root / "a.gif", "GIF")
    save(root / "b.bmp", flat(255, 255, 255))
    opened: list[str] = []
    count = "dualgan.data.files.listing.ListedFiles.count_frames"

    def note(files: ListedFiles, name: str) -> int:
        opened.append(name)
        return 1

    monkeypatch.setattr(count, note)
    make(root)
    assert opened == []
    make(root, all_frames=True)
    assert opened == ["a.gif"]  # a BMP has one


def test_frame_that_is_the_name_of_a_file_is_refused(root: Path) -> None:
    animated(root / "a.gif", "GIF")
    save(root / "a.gif#2", flat(255, 255, 255), format="PNG")
    with pytest.raises(ValueError, match=r"'a\.gif#2' is the name of a file and of a frame"):
        make(root, all_frames=True)


def test_packed_frames_are_those_of_the_files(root: Path) -> None:
    animated(root / "a.gif", "GIF")
    save(root / "b.png", flat(255, 255, 255, side=16))
    packed = root.parent / "packed"
    prepare(root, packed, 8, workers=1, all_frames=True)
    data, again = make(root, all_frames=True), make(packed)
    assert (images(again) == images(data)).all()
    assert again.fingerprint == data.fingerprint
    assert open_packed(packed).names[:2] == ["a.gif#0", "a.gif#1"]
    prepare(root, root.parent / "first", 8, workers=1)
    with pytest.raises(ValueError, match="packed with all_frames False, and all_frames True is asked for"):
        make(root.parent / "first", all_frames=True)


def test_inspect_counts_frames_and_takes_them(run_cli: RunCLI) -> None:
    animated(Path("set") / "a.tif", "TIFF")
    save(Path("set") / "b.png", np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    out = run_cli.succeeds("inspect", "set")
    assert "set: 2 images" in out
    assert "frames         TIFF 1 with 3 frames; the first is taken, --all_frames takes all" in out
    out = run_cli.succeeds("inspect", "set", "--all_frames")
    assert "set: 4 images" in out
    assert "fingerprint    none" not in out
