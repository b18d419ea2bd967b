"""Packing: the pixels of the raw path, problems in one report, stopped runs that go on."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from dualgan.data.files.folder import FolderFiles
from dualgan.data.packed import open_packed, packer, preparing
from dualgan.data.packed.preparing import prepare
from tests.data.packed.conftest import content, everything, raw, save


def pack(src: Path, out: Path, **settings: Any) -> None:
    prepare(src, out, **{"resolution": 8, "workers": 1, **settings})


@pytest.mark.parametrize("resize_filter", ["box", "lanczos"])
@pytest.mark.parametrize("num_channels", [1, 3, None])
def test_packed_images_are_those_of_the_raw_path(
    root: Path, tmp_path: Path, resize_filter: Literal["box", "lanczos"], num_channels: Literal[1, 3] | None
) -> None:
    pack(root, tmp_path / "out", resize_filter=resize_filter, num_channels=num_channels)
    packed, source = open_packed(tmp_path / "out"), raw(root, resize_filter=resize_filter, num_channels=num_channels)
    assert np.array_equal(everything(packed), everything(source))
    assert packed.fingerprint == source.fingerprint
    assert (packed.resolution, packed.resize_filter, packed.crop) == (8, resize_filter, "center")
    assert packed.num_channels == (num_channels or 3)
    assert packed.labels is None
    assert packed.names == [entry.name for entry in FolderFiles(root).entries()]


def test_pixels_are_pillows(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", height=30, width=50)
    pack(tmp_path / "images", tmp_path / "out", resize_filter="box")
    image = Image.open(tmp_path / "images" / "a.png").crop((10, 0, 40, 30)).resize((8, 8), Image.Resampling.BOX)
    assert np.array_equal(everything(open_packed(tmp_path / "out"))[0], np.asarray(image))


def test_gray_images_stay_gray(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", gray=True)
    pack(tmp_path / "images", tmp_path / "out")
    assert everything(open_packed(tmp_path / "out")).shape == (1, 8, 8, 1)


def test_shards_are_plain_numpy_files(root: Path, tmp_path: Path) -> None:
    pack(root, tmp_path / "out")
    shards = [np.load(path, mmap_mode="r") for path in sorted((tmp_path / "out").glob("shard-*.npy"))]
    assert len(shards) > 20
    assert np.array_equal(np.concatenate(shards), everything(open_packed(tmp_path / "out")))


def test_labels_are_kept_without_those_of_bad_images(root: Path, tmp_path: Path) -> None:
    labels = {"0": 70, "1": 900, "2": 5}
    pairs = [[name, labels[name[0]]] for name in (path.relative_to(root).as_posix() for path in root.rglob("*.*"))]
    (root / "dataset.json").write_text(json.dumps({"labels": pairs}))
    (root / "1" / "001.png").write_bytes(b"no image")
    pack(root, tmp_path / "out", skip_bad_images=True)
    packed = open_packed(tmp_path / "out")
    assert packed.labels is not None
    assert packed.labels.dtype == np.int64
    assert packed.labels.tolist() == [1] * 20 + [2] * 19 + [0] * 20
    assert packed.class_names == ("5", "70", "900")
    with pytest.warns(UserWarning, match="going on without 1 image"):
        source = raw(root, skip_bad_images=True)
    assert packed.fingerprint == source.fingerprint
    assert np.array_equal(everything(packed), everything(source))
    assert "001.png" in (tmp_path / "out.problems.txt").read_text()


def test_processes_and_their_number_change_no_byte(root: Path, tmp_path: Path) -> None:
    pack(root, tmp_path / "one")
    pack(root, tmp_path / "two", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "one", "two"]


def test_shards_have_the_size_that_was_asked_for(tmp_path: Path) -> None:
    for number in range(40):
        save(tmp_path / "images" / f"{number}.png", number)
    pack(tmp_path / "images", tmp_path / "out", resolution=512, shard_mb=1, enlarge=True)
    assert {shard.count for shard in open_packed(tmp_path / "out").manifest.shards} == {1}


def bomb(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("1", (20_000, 20_000)).save(path)


def test_all_problems_come_in_one_report(root: Path, tmp_path: Path) -> None:
    bomb(root / "bomb.png")
    good = (root / "0" / "000.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(good[: len(good) // 2])
    (root / "empty.png").write_bytes(b"")
    (root / "text.png").write_text("no image")
    save(root / "tiny.png", height=7, width=7)
    save(root / "gray.png", gray=True)
    with pytest.raises(ValueError, match="cannot be packed") as error:
        pack(root, tmp_path / "out", workers=2)
    message = str(error.value)
    assert "\n" not in message
    assert "4 images cannot be decoded or cropped" in message
    assert "'tiny.png': 7x7 pixels" in message
    assert "--enlarge" in message
    assert "'gray.png': a gray image" in message
    assert "--num_channels 3" in message
    report = (tmp_path / "out.problems.txt").read_text().splitlines()
    assert [line.split("'")[1] for line in report] == [
        "bomb.png", "cut.jpg", "empty.png", "gray.png", "text.png", "tiny.png"
    ]  # fmt: skip
    assert "20000x20000" in report[0] or "400000000 pixels" in report[0]
    assert not (tmp_path / "out").exists()


def test_images_that_are_not_square_need_a_crop(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"52 images cannot be decoded or cropped .*are not square.*and 47 more"):
        pack(root, tmp_path / "out", crop="none")
    save(tmp_path / "square" / "a.png", height=20, width=20)
    pack(tmp_path / "square", tmp_path / "out2", crop="none")
    assert open_packed(tmp_path / "out2").crop == "none"


def test_no_image_is_left(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("no image")
    with pytest.raises(ValueError, match="no image can be decoded"):
        pack(tmp_path / "images", tmp_path / "out", skip_bad_images=True)


def test_allowing_or_repairing_goes_on_from_finished_shards(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = root / "1" / "001.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:50])
    made: list[str] = []
    make = packer.Packer._make
    monkeypatch.setattr(packer.Packer, "_make", lambda self, name, *rest: made.append(name) or make(self, name, *rest))  # type: ignore[func-returns-value]
    with pytest.raises(ValueError, match=r"001\.png"):
        pack(root, tmp_path / "out")
    first = len(made)
    with pytest.raises(ValueError, match=r"001\.png"):  # it could have been a passing fault of the disk
        pack(root, tmp_path / "out")
    assert len(made) == first + 1
    bad.write_bytes(whole)
    pack(root, tmp_path / "out")
    assert len(made) == first + 2
    assert not (tmp_path / "out.problems.txt").exists()
    pack(root, tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def run(root: Path, out: Path) -> "subprocess.Popen[bytes]":
    words = ["prepare", str(root), str(out), "--resolution", "128", "--enlarge", "--workers", "2"]
    return subprocess.Popen([sys.executable, "-m", "dualgan", *words], stderr=subprocess.DEVNULL)


def test_killed_run_goes_on_and_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    for number in range(60, 250):
        save(root / f"{number}.jpg", number)
    pack(root, tmp_path / "whole", resolution=128, enlarge=True)
    process = run(root, tmp_path / "out")
    partial = tmp_path / "out.partial" / "notes"
    while not partial.is_dir() or len(list(partial.glob("*.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    shards = tmp_path / "out.partial" / "set"
    names = [f"shard-{path.stem}.npy" for path in sorted(partial.glob("*.json"))]
    assert 3 <= len(names) < 32
    inodes = {name: (shards / name).stat().st_ino for name in names}
    (shards / names[0]).write_bytes(b"damaged by the crash")
    pack(root, tmp_path / "out", resolution=128, enlarge=True)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    kept = [name for name in names if (tmp_path / "out" / name).stat().st_ino == inodes[name]]
    assert kept == names[1:]
    assert not (tmp_path / "out.partial").exists()


def stop_early(root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int = 3) -> None:
    """Run into an error at some shard."""
    written: list[Path] = []
    write = packer.write_array

    def fail(path: Path, array: Any) -> tuple[str, int]:
        if len(written) == after:
            raise error
        written.append(path)
        return write(path, array)

    with monkeypatch.context() as patch:
        patch.setattr(packer, "write_array", fail)
        pack(root, out)


def test_full_disk_is_said_and_can_be_resumed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ValueError, match=r"disk is full: \S*out cannot be written \(No space.*run the same command"):
        stop_early(root, tmp_path / "out", monkeypatch, full)
    shards = tmp_path / "out.partial" / "set"
    kept = {path.name: path.stat().st_mtime_ns for path in shards.iterdir()}
    assert len(kept) == 3
    assert not (tmp_path / "out").exists()
    pack(root, tmp_path / "out")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in kept} == kept
    assert len(open_packed(tmp_path / "out")) == 60


def test_room_is_checked_before(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=60 * 192))
    with pytest.raises(ValueError, match=r"needs 0\.0 MB more, and its disk has 0\.0 MB left.*Make room"):
        pack(root, tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_interrupted_run_tells_how_to_go_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        stop_early(root, tmp_path / "out", monkeypatch, KeyboardInterrupt())
    assert "the same command goes on" in capsys.readouterr().err


def test_resuming_needs_the_same_settings_and_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        stop_early(root, tmp_path / "out", monkeypatch, KeyboardInterrupt())
    with pytest.raises(ValueError, match=r"begun with resize_filter lanczos and not box\. .*Remove '.*out\.partial'"):
        pack(root, tmp_path / "out", resize_filter="box")
    save(root / "0" / "000.jpg", 99)
    with pytest.raises(ValueError, match=r"begun with other files.*Remove '.*out\.partial'"):
        pack(root, tmp_path / "out")


def test_finished_set_is_left_alone(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is as good as none
    assert not prepare(root, out, resolution=8, workers=1).existed
    assert prepare(root, out, resolution=8, workers=1).existed
    with pytest.raises(ValueError, match=r"out' holds a set of other images or settings \(8x8, lanczos"):
        pack(root, out, resolution=16)
    with pytest.raises(ValueError, match=r"images' exists already and is no packed set"):
        pack(root, root)
    with pytest.raises(ValueError, match="is a packed set already"):
        pack(out, tmp_path / "again")
    assert not list(tmp_path.glob("*.partial"))


def test_target_that_cannot_be_written_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/out' cannot be written: '.*file' is no folder"):
        pack(root, tmp_path / "file" / "out")


def test_two_runs_do_not_meet(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def again(*args: Any) -> Any:
        with pytest.raises(ValueError, match="Another process is making") as error:
            pack(root, tmp_path / "out")
        refused.append(str(error.value))
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "_pack", again)
    with pytest.raises(KeyboardInterrupt):
        pack(root, tmp_path / "out")
    assert len(refused) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 2000}, "resolution 2000 is out of range: expected 8 to 1024"),
        ({"shard_mb": 0}, "shard_mb 0 is too small"),
        ({"workers": 0}, "workers 0 is too small"),
    ],
)
def test_impossible_numbers_are_named(root: Path, tmp_path: Path, settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack(root, tmp_path / "out", **settings)


def test_source_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="images' holds no images"):
        pack(tmp_path / "images", tmp_path / "out")
    with pytest.raises(ValueError, match="is a URL"):
        prepare("s3://bucket/images", tmp_path / "out")
