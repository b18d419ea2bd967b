"""Fingerprints are in checkpoints and packed sets of every version: the same images must keep theirs."""

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from PIL import Image

from dualgan.data import CIFAR10, FewShot, ImageFolder, SyntheticCLEVR
from dualgan.data.packed import open_packed
from dualgan.data.packed.preparing import prepare
from dualgan.files.atomic import digest

SETTINGS: dict[str, Any] = {"batch_size": 1, "num_workers": 0}
FOLDER = "0a603cc8d6e05f65"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    values = np.arange(12 * 10 * 3).reshape(12, 10, 3) * 7
    for number in range(6):
        path = tmp_path / "images" / "ab"[number // 3] / f"{number % 3}.bmp"  # whose bytes no encoder chooses
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(((values + number * 31) % 256).astype(np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    root = tmp_path / "cifar-10-batches-bin"
    root.mkdir()
    for number, name in enumerate([*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"]):
        pixels = (np.arange(2 * 3072).reshape(2, 3072) * (number + 3) % 256).astype(np.uint8)
        records = np.concatenate([np.array([[number], [9 - number]], np.uint8), pixels], 1)
        (root / f"{name}.bin").write_bytes(records.tobytes())
    return tmp_path


def test_image_files(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as file:
        for path in folder.rglob("*.bmp"):
            file.write(path, path.relative_to(folder))
    prepare(folder, tmp_path / "packed", 8, workers=1)
    for root in (folder, tmp_path / "images.zip", tmp_path / "packed"):
        assert ImageFolder(str(root), resolution=8, **SETTINGS).fingerprint == FOLDER


def test_arrays(cifar10: Path, tmp_path: Path) -> None:
    found = [CIFAR10(str(cifar10), split=split, **SETTINGS).fingerprint for split in ("train", "test")]
    assert found == ["3c5700c9878d19cc", "71751b32f6654bfa"]
    prepare(cifar10, tmp_path / "packed", 32, workers=1)
    assert open_packed(tmp_path / "packed").fingerprint == found[0]
    assert FewShot("lfw100", resolution=16, **SETTINGS).fingerprint == "8760aeef01f39624"


def test_lmdb(tmp_path: Path) -> None:
    keys = [b"%040x" % number for number in range(3)]
    root = tmp_path / "church"
    with lmdb.open(os.fspath(root), map_size=2**24) as database, database.begin(write=True) as transaction:
        for key in keys:
            transaction.put(key, b"an image")
    status = (root / "data.mdb").stat()
    stamp = digest([[status.st_size, status.st_mtime_ns], 3, hashlib.sha256(b"".join(keys)).hexdigest()])
    expected = digest([[8, "lanczos", "center", 3], [stamp]])
    assert ImageFolder(str(root), resolution=8, **SETTINGS).fingerprint == expected


def test_rendered_images(tmp_path: Path) -> None:
    data = SyntheticCLEVR(4, resolution=8, batch_size=1, cache_dir=str(tmp_path), num_renderers=1)
    assert data.fingerprint == "76b5a1c3f7a9fafc"
