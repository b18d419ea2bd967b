"""Reading packed sets of a folder."""

import json
import pickle
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dualgan.data import ImageFolder
from dualgan.data.packed import Manifest, PackedFile, Shard, is_packed, open_packed, verify
from dualgan.data.packed.packer import write_array
from dualgan.data.packed.preparing import prepare
from tests.data.packed.conftest import everything


@pytest.fixture
def packed(root: Path, tmp_path: Path) -> Path:
    prepare(root, tmp_path / "packed", resolution=8, workers=1)
    return tmp_path / "packed"


def change(packed: Path, **fields: Any) -> None:
    path = packed / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_any_indices_come_in_their_order(packed: Path) -> None:
    source = open_packed(packed)
    images = everything(source)
    for indices in ([59, 0, 31, 31, 2, 1], [], [7], np.random.default_rng(0).integers(0, 60, 500)):
        chosen = np.asarray(indices, np.int64)
        read = source.read(chosen)
        assert np.array_equal(read, images[chosen])
        read[:] = 0  # an array of its own
    assert np.array_equal(everything(source), images)
    for index in (60, -1):
        with pytest.raises(IndexError, match="60 images"):
            source.read(np.array([3, index]))


def test_pickled_set_reads_the_same(packed: Path) -> None:
    source = open_packed(packed)
    assert source.names
    content = pickle.dumps(source)
    assert b"000.jpg" not in content  # names stay behind
    again = pickle.loads(content)
    assert np.array_equal(everything(again), everything(source))
    assert again.names == source.names


def test_workers_load_the_same_batches(packed: Path) -> None:
    loaders: list[DataLoader[Any]] = [
        ImageFolder(str(packed), resolution=8, batch_size=4, num_workers=workers).train_dataloader()
        for workers in (0, 2)
    ]
    for here, there in zip(*(islice(loader, 6) for loader in loaders), strict=True):
        assert here.images.dtype == torch.uint8
        assert torch.equal(here.images, there.images)


def test_folders_are_told_apart(packed: Path, root: Path, tmp_path: Path) -> None:
    assert is_packed(packed)
    assert is_packed(str(packed))
    assert is_packed("s3://bucket/set")
    assert not is_packed(root)
    assert not is_packed(tmp_path / "nowhere")
    (root / "manifest.json").write_text('{"name": "a web application"}')
    assert not is_packed(root)
    (root / "manifest.json").write_text("{")
    assert is_packed(root)
    with pytest.raises(ValueError, match=r"manifest of the packed set .* is damaged"):
        open_packed(root)


def test_missing_and_truncated_shards_are_named(packed: Path) -> None:
    shard = packed / "shard-00003.npy"
    source = open_packed(packed)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"shard-00003\.npy' has \d+ bytes, and the manifest .* says \d+"):
        open_packed(packed)
    with pytest.raises(ValueError, match=r"shard-00003\.npy' of the packed set .* ends too early"):
        everything(source)
    shard.unlink()
    for action in (lambda: open_packed(packed), lambda: everything(source)):
        with pytest.raises(ValueError, match=r"shard-00003\.npy' is missing"):
            action()


def test_verifying_names_all_damaged_files(packed: Path) -> None:
    assert verify(packed).count == 60
    for name in ("shard-00003.npy", "names.json"):
        content = bytearray((packed / name).read_bytes())
        content[-1] ^= 1
        (packed / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"2 of \d+ files .*: shard-00003\.npy, names\.json\. Copy"):
        verify(packed)


def test_other_format_version_is_named(packed: Path) -> None:
    change(packed, version=3, dualgan="9.9", new_field=True)
    with pytest.raises(ValueError, match=r"format version 3, and this dualgan reads versions 1 and 2 .*dualgan 9\.9"):
        open_packed(packed)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, "damaged|no packed set"),
        ({"count": 61}, "shards do not hold the number"),
        ({"num_channels": 2}, "impossible"),
        ({"shards": None}, "TypeError"),
        ({"surprise": 1}, "surprise"),
        ({"resolution": 64}, "cannot hold"),
        ({"names": {"name": "../names.json", "bytes": 1, "sha256": ""}}, "no name of a file in the same folder"),
    ],
)
def test_damaged_manifest_is_refused(packed: Path, fields: dict[str, Any], message: str) -> None:
    change(packed, **fields)
    with pytest.raises(ValueError, match=message):
        open_packed(packed)


def test_labels_must_fit(packed: Path) -> None:
    sha256, size = write_array(packed / "labels.npy", np.zeros(59, np.int64))
    change(packed, labels={"name": "labels.npy", "bytes": size, "sha256": sha256})
    with pytest.raises(ValueError, match=r"labels\.npy' .* has int64 \[59\]: expected int64 \[60\]"):
        open_packed(packed)


def test_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no packed set: manifest\.json cannot be read .*dualgan prepare"):
        open_packed(tmp_path)


LARGE = """
import sys, time
import numpy as np
from dualgan.data.sampler import InfiniteBatchSampler
def memory():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
before = memory()  # libraries, of which a CUDA build of torch alone takes hundreds of megabytes
from dualgan.data.packed import open_packed
start = time.perf_counter()
source = open_packed(sys.argv[1])
seconds = time.perf_counter() - start
batches = iter(InfiniteBatchSampler(len(source), 32))
for _ in range(3):
    indices = np.asarray(next(batches))
    assert source.read(indices).shape == (32, 256, 256, 3) and source.labels[indices].shape == (32,)
print(len(source), seconds, memory() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_three_million_images_open_at_once_in_little_memory(tmp_path: Path) -> None:
    count, per_shard, image = 3_000_000, 325, 256 * 256 * 3
    shards: list[Shard] = []
    for first in range(0, count, per_shard):
        here = min(per_shard, count - first)
        shards.append(Shard(f"shard-{len(shards):05}.npy", 128 + here * image, "0" * 64, here))
        with (tmp_path / shards[-1].name).open("wb") as file:
            file.truncate(shards[-1].bytes)
    sha256, size = write_array(tmp_path / "labels.npy", np.zeros(count, np.int64))
    (tmp_path / "names.json").write_text("[]")
    names, labels = PackedFile("names.json", 2, ""), PackedFile("labels.npy", size, sha256)
    manifest = Manifest(256, 3, "lanczos", "center", count, "0", tuple(shards), names, labels, {})
    (tmp_path / "manifest.json").write_text(json.dumps(manifest.to_json()))
    command = [sys.executable, "-c", LARGE, str(tmp_path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(out[0]) == count
    assert float(out[1]) < 2
    assert float(out[2]) < 50  # PyTorch and Lightning take some 450 more
