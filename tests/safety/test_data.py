"""Image sets from elsewhere: archives, pickles, labels and manifests that want more than they show.

tests/data/files/test_bad_images.py has the hostile images and most hostile zips.
"""

import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualgan.comparison.pictures import read_samples
from dualgan.data.files import zip as zip_files
from dualgan.data.packed import open_packed
from dualgan.data.packed.preparing import prepare
from dualgan.runs.reading import read_run
from tests.conftest import TINY, RunCLI
from tests.safety.conftest import Evil

READ = ("--data", "ImageFolder", "--data.resolution", "8", "--data.batch_size", "8")


def png(size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*chunks: bytes) -> bytes:
    """A PNG file with more chunks behind its header."""
    content = png()
    return content[:33] + b"".join(chunks) + content[33:]


def with_size(size: int) -> bytes:
    """A PNG file of a few bytes whose header claims to hold that many pixels each way."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
    return png()[:8] + header + png()[33:]


def refused(run_cli: RunCLI, root: str) -> str:
    return run_cli.fails("fit", *TINY, *READ, "--data.root", root)


# ---- images ------------------------------------------------------------------------------------------------------

IMAGES = {
    "header.png": (with_size(12_000), "12000x12000 pixels are more than the 89478485 that are thought safe"),
    "giant.png": (with_size(60_000), "3600000000 pixels) exceeds limit of"),
    "profile.png": (png_with(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**26)))), "too large"),
    "text.png": (png_with(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))), "too large"),
    "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image that Pillow can read by itself"),
    "layers.png": (b"8BPS" + bytes(200), "no image that Pillow can read by itself"),
    "program.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "no image that Pillow can read by itself"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", IMAGES)
def test_hostile_images_are_named(name: str, run_cli: RunCLI) -> None:
    content, complaint = IMAGES[name]
    Path("set").mkdir()
    Path("set", name).write_bytes(content)
    error = refused(run_cli, "set")
    assert name in error
    assert complaint in error


def test_samples_of_a_run_are_decoded_with_the_same_bounds(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for number, (content, _) in enumerate(IMAGES.values()):
        (tmp_path / "samples" / f"kimg_{number:05}.000.png").write_bytes(content)
    assert len(read_samples(tmp_path, 12, 96).damaged) == len(IMAGES)


# ---- archives ----------------------------------------------------------------------------------------------------


def test_bombs_in_a_zip_are_not_inflated(run_cli: RunCLI) -> None:
    with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.bmp", bytes(2**25))
    assert Path("bomb.zip").stat().st_size < 2**16
    error = refused(run_cli, "bomb.zip")
    assert "'bomb.bmp'" in error
    assert "claim to inflate to 33554432" in error


@pytest.mark.parametrize("zip64", [False, True])
def test_endless_list_of_members_is_not_read(zip64: bool, run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    if zip64:
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    with zipfile.ZipFile("many.zip", "w") as file:
        for number in range(1_000):
            file.writestr(f"{number}.png", b"")
    assert (b"PK\6\6" in Path("many.zip").read_bytes()[-100:]) is zip64
    monkeypatch.setattr(zip_files, "MAX_DIRECTORY_BYTES", 10_000)
    assert "whose list of members has" in refused(run_cli, "many.zip")


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (b"[" * 100_000, "is no JSON"),
        (b'{"labels": [' + b"[]," * 2**20 + b"[]]}", "more than the"),
        (b'{"labels": [["../../outside.png", 0]]}', "has no label for 1 of 1 images"),
        (b'{"labels": [["a.png", ' + b"[" * 500 + b"]" * 500 + b"]]}", "holds the label"),
        (b'{"labels": [["a.png", -1]]}', "holds the label"),
        (b'{"labels": [["a.png", 9223372036854775808]]}', "from 0 to 9223372036854775807"),
    ],
    ids=["deep", "huge", "outside", "nested", "negative", "more than int64"],
)
def test_hostile_labels(labels: bytes, complaint: str, run_cli: RunCLI) -> None:
    with zipfile.ZipFile("set.zip", "w") as file:
        file.writestr("a.png", png())
        file.writestr("dataset.json", labels)
    error = run_cli.fails("fit", *TINY, *READ, "--data.root", "set.zip", "--data.use_labels", "true")
    assert complaint in error
    assert len(error) < 600


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> None:
    Path("set").mkdir()
    with tarfile.open("set/cifar-10-python.tar.gz", "w:gz") as file:
        for member, content in members:
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refused_cifar(run_cli: RunCLI) -> str:
    return run_cli.fails("fit", *TINY, "--data", "CIFAR10", "--data.root", "set", "--data.batch_size", "8")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_no_files(kind: bytes, run_cli: RunCLI, marker: Path) -> None:
    names = [f"data_batch_{number}" for number in range(1, 6)]
    tar(*((member(name, kind, "/etc/passwd"), b"") for name in names))
    assert "cannot read 'data_batch_1' of CIFAR-10 (it is missing)" in refused_cifar(run_cli)


def test_names_in_a_tar_lead_nowhere(run_cli: RunCLI, tmp_path: Path) -> None:
    tar((member("../../outside"), b"x"), (member("/tmp/absolute_data_batch_1"), b"x"))
    refused_cifar(run_cli)
    assert not (tmp_path.parent / "outside").exists()


def test_tar_bombs_are_not_inflated(run_cli: RunCLI) -> None:
    tar((member("data_batch_1"), bytes(2**26 + 1)))
    assert "67,108,865 bytes as member 1 of the archive" in refused_cifar(run_cli)


def test_tar_of_endless_members(run_cli: RunCLI) -> None:
    tar(*((member(f"{number}"), b"") for number in range(200)))
    assert "as member 101 of the archive" in refused_cifar(run_cli)


def laughs() -> Any:
    value: Any = ["x"] * 10
    for _ in range(12):
        value = [value] * 10
    return value


def batch(content: Any) -> bytes:
    return pickle.dumps(content, 2)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\x80\x02]r\xff\xff\xff\x7f.", "it holds no 'data'"),
        (batch({"data": 0, "labels": laughs()}), "it holds no 'data'"),
        (batch({"labels": [laughs()]}), "it holds no 'data'"),
        (b"\x80\x02" + b"]" * 2**25, "it holds no 'data'"),
    ],
    ids=["memo", "laughs", "label", "endless"],
)
def test_hostile_pickles(content: bytes, complaint: str, run_cli: RunCLI) -> None:
    tar((member("data_batch_1"), content))
    assert complaint in refused_cifar(run_cli)


def test_code_in_a_pickle_is_not_run(run_cli: RunCLI, marker: Path) -> None:
    tar((member("data_batch_1"), batch(Evil(marker))))
    assert "cannot read 'data_batch_1' of CIFAR-10 (it holds no 'data'" in refused_cifar(run_cli)


# ---- packed sets -------------------------------------------------------------------------------------------------


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for name in ("a", "b"):
        (source / name).mkdir(parents=True)
        for number in range(2):
            (source / name / f"{number}.png").write_bytes(png())
    prepare(source, tmp_path / "packed", 8, workers=1)
    return tmp_path / "packed"


def change(packed: Path, **fields: Any) -> None:
    path = packed / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def replaced(packed: Path, name: str, content: bytes) -> dict[str, Any]:
    (packed / name).write_bytes(content)
    return {"name": name, "bytes": len(content), "sha256": ""}


@pytest.mark.parametrize(
    "fields",
    [
        {"count": -4},
        {"count": 4.0},
        {"count": True},
        {"resolution": 2**70},
        {"resolution": 10**9},
        {"num_channels": "3"},
        {"names": {"name": "names.json", "bytes": -1, "sha256": ""}},
        {"shards": [{"name": "../../etc/passwd", "bytes": 1000, "sha256": "", "count": 4}]},
        {"shards": [{"name": 1, "bytes": 1000, "sha256": "", "count": 4}]},
        {"class_names": []},
        {"class_names": ["a", "a"]},
        {"class_names": [{}]},
    ],
    ids=str,
)
def test_hostile_manifests(fields: dict[str, Any], packed: Path, run_cli: RunCLI) -> None:
    change(packed, **fields)
    assert "manifest of the packed set" in refused(run_cli, str(packed))


def test_manifest_nested_thousands_deep(packed: Path, run_cli: RunCLI) -> None:
    (packed / "manifest.json").write_bytes(b"[" * 100_000)
    assert "is damaged" in refused(run_cli, str(packed))


def npy(header: str, rest: bytes = b"") -> bytes:
    text = (header + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + rest


@pytest.mark.parametrize(
    "content",
    [
        npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1099511627776,), }"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (4,), }", pickle.dumps([1, 2, 3, 4])),
        npy("__import__('os').system('touch executed')"),
        npy("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }"),
        bytes(2**16),
        b"",
        npy("{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }", struct.pack("<4q", 0, 1, 2, -7)),
    ],
    ids=["huge", "objects", "code", "negative", "long", "empty", "negative class"],
)
def test_hostile_arrays(content: bytes, packed: Path, marker: Path) -> None:
    change(packed, labels=replaced(packed, "labels.npy", content))
    with pytest.raises(ValueError, match=r"'labels\.npy' of the packed set .* Copy or make the set again"):
        open_packed(packed)


def test_a_huge_class_is_a_name_and_takes_no_memory(packed: Path) -> None:
    content = npy("{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }", struct.pack("<4q", 0, 1, 10**12, 1))
    change(packed, labels=replaced(packed, "labels.npy", content))
    found = open_packed(packed)
    assert found.class_names == ("0", "1", "1000000000000")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a": 1}', b"[1, 2, 3, 4]", b'["a"]', b"\xff"], ids=repr)
def test_hostile_names(content: bytes, packed: Path) -> None:
    change(packed, names=replaced(packed, "names.json", content))
    with pytest.raises(ValueError, match=r"'names\.json' of the packed set"):
        _ = open_packed(packed).names


# ---- run folders -------------------------------------------------------------------------------------------------


def test_run_folders_with_hostile_values(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("kimg,step\n1,1\n2," + "9" * 200_000 + "\n")
    (tmp_path / "metrics.jsonl").write_text("[" * 100_000 + '\n{"verb": "fit"}\n')
    (tmp_path / "config.yaml").write_text("a: !!python/object/apply:os.system ['touch executed']")
    run = read_run(tmp_path, "run")
    assert run.rows == [{"kimg": 1.0, "step": 1.0}]
    assert run.records == [{"verb": "fit"}]
    assert run.problems == [
        "metrics.csv has 1 damaged rows, which are left out",
        "metrics.jsonl has 1 damaged lines, which are left out",
        "config.yaml is damaged: its settings are unknown",
    ]
