"""LSUN's LMDB folders."""

import io
import os
import pickle
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dualgan.data import LSUN, Batch, ImageFolder
from dualgan.data.files.decoding import to_square
from dualgan.data.files.lmdb import LMDBFiles
from dualgan.data.files.opening import open_files
from dualgan.data.packed.preparing import prepare


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path / "cache"))


def write(folder: Path, records: dict[bytes, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with lmdb.open(os.fspath(folder), map_size=2**24) as database, database.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    return folder


def encoded(number: int, kind: str, width: int = 24) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (4, 6, 3), np.uint8).repeat(4, 0).repeat(4, 1)[:, :width]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def key(number: int) -> bytes:
    return f"{(number * 7919) % 65536:040x}".encode()


@pytest.fixture
def church(tmp_path: Path) -> Path:
    """The official layout, with ten records."""
    records = {key(number): encoded(number, ("JPEG", "WEBP")[number % 2]) for number in range(10)}
    write(tmp_path / "lsun" / "church_outdoor_train_lmdb", records)
    return tmp_path / "lsun"


def replace(church: Path, records: dict[bytes, bytes]) -> None:
    """Put another database in the place of one that may be open."""
    other = write(church.parent / "other", records)
    (other / "data.mdb").replace(church / "church_outdoor_train_lmdb" / "data.mdb")


def make(root: Path, **changes: Any) -> LSUN:
    settings: dict[str, Any] = {"resolution": 8, "batch_size": 4, "num_workers": 0}
    data = LSUN(root=str(root), **{**settings, **changes})
    data.prepare_data()
    data.setup("fit")
    return data


def real(data: Any) -> Tensor:
    return torch.cat([batch.images for batch in data.reference_dataloader()])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its cache file open
def test_pixels_are_those_of_torchvision(church: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = real(make(church))
    monkeypatch.chdir(tmp_path)  # torchvision writes its cache here
    # LMDB opens a folder once per process: torchvision gets a copy.
    copy = tmp_path / "torchvision" / "church_outdoor_train_lmdb"
    copy.mkdir(parents=True)
    (copy / "data.mdb").write_bytes((church / "church_outdoor_train_lmdb" / "data.mdb").read_bytes())
    from torchvision import datasets

    theirs = datasets.LSUN(os.fspath(copy.parent), classes=["church_outdoor_train"])
    assert len(theirs) == len(ours) == 10
    for image, (other, _) in zip(ours, (theirs[i] for i in range(10)), strict=True):
        assert np.array_equal(image, to_square(other, 8, 3, "lanczos"))


@pytest.mark.parametrize("place", ["church_outdoor_train_lmdb", ""])
def test_root_is_the_lmdb_or_the_folder_that_holds_it(church: Path, place: str) -> None:
    assert make(church / place).dataset_size == 10


@pytest.mark.parametrize("folder", ["horse", "horse_lmdb"])
def test_objects_have_plain_folders(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder, {b"a": encoded(0, "WEBP")})
    assert make(tmp_path, category="horse", batch_size=1).dataset_size == 1
    with pytest.raises(ValueError, match=rf"only the LMDBs {folder}, and not category 'horse', split 'val'"):
        make(tmp_path, category="horse", split="val")


def test_another_category_is_noticed(church: Path) -> None:
    with pytest.raises(ValueError, match="only the LMDBs church_outdoor_train_lmdb, and not category 'cat'"):
        make(church, category="cat")
    with pytest.raises(ValueError, match="is another LMDB than category 'church_outdoor', split 'val'"):
        make(church / "church_outdoor_train_lmdb", split="val")


def test_exported_images_are_read_as_files(tmp_path: Path) -> None:
    (tmp_path / "church").mkdir()
    (tmp_path / "church" / "a.webp").write_bytes(encoded(0, "WEBP"))
    assert make(tmp_path / "church", batch_size=1).dataset_size == 1
    with pytest.raises(ValueError, match="has no LMDB, only which would tell"):
        make(tmp_path / "church", batch_size=1, split="val")


def test_workers_open_the_lmdb_for_themselves(church: Path) -> None:
    def first(workers: int) -> Iterator[Batch]:
        return islice(make(church, num_workers=workers).train_dataloader(), 4)

    here = [batch.images for batch in first(0)]
    assert all(torch.equal(a, b.images) for a, b in zip(here, first(2), strict=True))


def test_keys_are_listed_once_and_mapped_from_the_cache(church: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(church)
    with monkeypatch.context() as patch:
        patch.setattr(LMDBFiles, "_list_keys", None)
        assert make(church).fingerprint == first.fingerprint
    files = LMDBFiles(church / "church_outdoor_train_lmdb")
    assert isinstance(files.keys(), np.memmap)
    assert files.keys().nbytes == 10 * 40
    assert list(files.names()) == sorted(key(number).decode() for number in range(10))
    again = pickle.loads(pickle.dumps(files))
    assert again.read(files.names()[3]) == files.read(files.names()[3])
    entries = files.entries()
    assert [entry.name for entry in entries] == list(files.names())
    assert [entry.name for entry in entries[2:4]] == [entries[2].name, entries[3].name]
    (listed,) = (Path(os.environ["DUALGAN_CACHE"]) / "lmdb_keys").glob("*.npy")
    listed.write_bytes(listed.read_bytes()[:100])
    assert make(church).fingerprint == first.fingerprint


def test_fingerprint_changes_with_the_records(church: Path) -> None:
    first = make(church).fingerprint
    assert make(church, resize_filter="box").fingerprint != first
    replace(church, {b"e" * 40: encoded(0, "JPEG"), b"f" * 40: encoded(11, "JPEG")})
    changed = make(church, batch_size=1)
    assert changed.dataset_size == 2
    assert changed.fingerprint != first


@pytest.mark.parametrize("size", [0, 100, 5000, 9000, -4096])
def test_truncated_lmdb_is_refused(church: Path, size: int) -> None:
    path = church / "church_outdoor_train_lmdb" / "data.mdb"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"church_outdoor_train_lmdb' is a damaged LMDB \(.*Download or unpack"):
        make(church)


def test_garbage_is_no_lmdb(church: Path) -> None:
    path = church / "church_outdoor_train_lmdb" / "data.mdb"
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is a damaged LMDB"):
        make(church)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_stops_training_with_its_name(church: Path, workers: int) -> None:
    write(church / "church_outdoor_train_lmdb", {b"f" * 40: encoded(0, "JPEG")[:200]})
    data = make(church, num_workers=workers)
    with pytest.raises(ValueError, match=r"^'.*church_outdoor_train_lmdb': image 'f{40}' cannot be read \(") as error:
        list(islice(data.train_dataloader(), 3))
    assert "Traceback" not in str(error.value)
    with pytest.raises(ValueError, match=r"skip_bad_images cannot work on an LMDB.*'dualgan prepare'"):
        make(church, skip_bad_images=True)


def test_an_lmdb_can_be_any_root_and_be_packed(church: Path, tmp_path: Path) -> None:
    root = church / "church_outdoor_train_lmdb"
    assert isinstance(open_files(root, ""), LMDBFiles)
    images = ImageFolder(str(root), resolution=8, num_workers=0)
    prepare(root, tmp_path / "packed", 8, workers=1)
    assert torch.equal(real(images), real(make(tmp_path / "packed")))


def test_an_lmdb_of_something_else_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "other_lmdb", {b"\xff\x00": b"1"})
    with pytest.raises(ValueError, match="key that is no text"):
        make(tmp_path / "other_lmdb", category="other")
    write(tmp_path / "none_lmdb", {})
    with pytest.raises(ValueError, match="is an LMDB without any image"):
        make(tmp_path / "none_lmdb", category="none")
