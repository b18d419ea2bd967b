"""CIFAR-10 in its official archives, safely."""

import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dualgan.data import CIFAR10
from dualgan.data.base import TrainingState
from dualgan.data.batches import with_reference
from dualgan.data.packed import open_packed
from dualgan.data.packed.preparing import prepare
from tests.conftest import NETWORKS, RunCLI, words

COUNT = 4  # images per batch file


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path / "cache"))


def python2_pickle(pixels: NDArray[np.uint8], labels: list[int]) -> bytes:
    """What Python 2 wrote: its strings are bytes, and NumPy's array holds such a string."""

    def text(content: bytes) -> bytes:
        return b"T" + len(content).to_bytes(4, "little") + content

    dtype = (
        b"cnumpy\ndtype\n("
        + text(b"u1")
        + b"K\x00K\x01tR(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    shape = b"(K" + bytes([len(pixels)]) + b"M" + len(pixels[0]).to_bytes(2, "little") + b"t"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
        b"(K\x01" + shape + dtype + b"\x89" + text(bytes(pixels.tobytes())) + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return (
        b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + text(b"batch_label") + text(b"one") + b"u."
    )


def parts() -> dict[str, tuple[NDArray[np.uint8], list[int]]]:
    random = np.random.default_rng(0)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return {
        name: (random.integers(0, 256, (COUNT, 3072), np.uint8), random.integers(0, 10, COUNT).tolist())
        for name in names
    }


def official(tmp_path: Path, form: str) -> Path:
    """The archive in one of its forms, in the folder that is returned."""
    ending = ".bin" if form.startswith("bin") else ""
    folder = tmp_path / "data" / ("cifar-10-batches-bin" if ending else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    for name, (pixels, labels) in parts().items():
        records = np.concatenate([np.array(labels, np.uint8)[:, None], pixels], 1).tobytes()
        (folder / f"{name}{ending}").write_bytes(records if ending else python2_pickle(pixels, labels))
    meta = {"label_names": [f"class {number}" for number in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, 2))
    if form.endswith("archive"):
        archive = "cifar-10-binary.tar.gz" if ending else "cifar-10-python.tar.gz"
        with tarfile.open(tmp_path / "data" / archive, "w:gz") as file:
            file.add(folder, folder.name)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return tmp_path / "data"


def make(root: Path, **changes: Any) -> CIFAR10:
    data = CIFAR10(str(root), **{"batch_size": 4, "num_workers": 0, **changes})
    data.prepare_data()
    data.setup("fit")
    return data


FORMS = ("python folder", "python archive", "bin folder", "bin archive")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_images_and_labels_are_those_of_torchvision(
    form: str, split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)  # checksums of the real archive
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *args: True)
    official(tmp_path / "theirs", "python folder")
    theirs = datasets.CIFAR10(os.fspath(tmp_path / "theirs" / "data"), train=split == "train")
    data = make(official(tmp_path, form), split=split)
    batches = list(data.reference_dataloader())
    assert np.array_equal(torch.cat([batch.images for batch in batches]), theirs.data)
    assert torch.cat([batch.labels for batch in batches if batch.labels is not None]).tolist() == theirs.targets
    assert (data.resolution, data.num_channels) == (32, 3)


def test_all_forms_are_the_same_set(tmp_path: Path) -> None:
    assert len({make(official(tmp_path / form, form)).fingerprint for form in FORMS}) == 1


def test_pickles_of_python_3_are_read(tmp_path: Path) -> None:
    root = official(tmp_path, "python folder")
    first = make(root).fingerprint
    for name, (pixels, labels) in parts().items():
        (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps({"data": pixels, "labels": labels}, 2))
    assert make(root).fingerprint == first


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


class Reached:
    def __reduce__(self) -> tuple[Any, ...]:
        return np.fromfile, ("executed",)  # in the package of the arrays


@pytest.mark.parametrize(
    "content",
    [
        {"data": Malicious(), "labels": [1]},
        {"data": Reached(), "labels": [1]},
        {"data": np.array([Malicious()], object), "labels": [0]},
        {"data": np.zeros((1, 3072), np.float32), "labels": [0]},
        {"data": np.zeros((1, 3071), np.uint8), "labels": [0]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
        {"data": np.zeros((1, 3072), np.uint8), "labels": [10]},
        {"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]},
        {"labels": []},
        [1],
    ],
    ids=(
        "call",
        "inner call",
        "object array",
        "floats",
        "short rows",
        "more rows than labels",
        "class 10",
        "text",
        "no data",
        "list",
    ),
)
def test_other_pickles_are_refused_and_never_run(content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = official(tmp_path, "python folder")
    monkeypatch.chdir(tmp_path)
    for protocol in (2, 4):
        (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(ValueError, match=r"cifar-10-batches-py': cannot read 'data_batch_3' of CIFAR-10 \(.*kriz"):
            make(root)
    assert not (tmp_path / "executed").exists()


def test_a_malicious_pickle_would_have_run_in_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.load(io.BytesIO(pickle.dumps(Malicious())))
    assert (tmp_path / "executed").is_dir()


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_are_named(form: str, tmp_path: Path) -> None:
    root = official(tmp_path, form)
    (path,) = (
        path
        for path in root.rglob("*")
        if path.name.startswith(("data_batch_5", "cifar-10-python.", "cifar-10-binary."))
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 - 1])
    with pytest.raises(ValueError, match=r"cannot read '.*' of CIFAR-10 \(.*Download the archive again"):
        make(root)


def test_missing_files_are_named(tmp_path: Path) -> None:
    root = official(tmp_path, "bin folder")
    (root / "cifar-10-batches-bin" / "data_batch_2.bin").unlink()
    with pytest.raises(ValueError, match=r"cannot read 'data_batch_2' of CIFAR-10 \(it is missing\)"):
        make(root)


def test_labels_stay_with_their_images_in_batches_with_references(tmp_path: Path) -> None:
    data = make(official(tmp_path, "python archive"), mirror=True)
    source = next(iter(data.reference_dataloader(batch_size=20)))
    assert source.labels is not None
    known = {image.numpy().tobytes(): int(label) for image, label in zip(source.images, source.labels, strict=True)}
    known |= {
        image.flip(1).numpy().tobytes(): int(label) for image, label in zip(source.images, source.labels, strict=True)
    }
    data._state = lambda: TrainingState(takes_reference=True)  # type: ignore[method-assign]
    loader = data.train_dataloader()
    assert loader.collate_fn is with_reference
    for _, batch in zip(range(6), loader, strict=False):
        assert batch.labels is not None
        assert batch.reference is not None
        assert [known[image.numpy().tobytes()] for image in batch.images] == batch.labels.tolist()
        assert all(image.numpy().tobytes() in known for image in batch.reference)


def test_labels_can_be_left_out_and_a_fifth_be_taken(tmp_path: Path) -> None:
    root = official(tmp_path, "bin archive")
    assert make(root, use_labels=False).num_classes == 0
    fifth = make(root, subset=0.2)
    assert fifth.dataset_size == 4
    assert fifth.num_classes == make(root).num_classes
    assert fifth.reference_set().dataset_size == 20


def test_trains_a_conditional_gan_from_the_command_line(tmp_path: Path, run_cli: RunCLI) -> None:
    root = official(tmp_path, "python archive")
    settings = words(
        "--data CIFAR10 --data.resolution 8 --data.batch_size 4 --data.subset 0.5 --model.total_kimg 0.008"
    )
    run = tmp_path / "run"
    run_cli.succeeds("fit", *NETWORKS, *settings, "--data.root", root, "--model.total_kimg", 0.008, "--run_dir", run)
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    num_classes = max(label for name, (_, labels) in parts().items() if name != "test_batch" for label in labels) + 1
    assert any(num_classes in value.shape for name, value in state["state_dict"].items() if "embed" in name.lower())
    assert int(state["state_dict"]["images_seen"]) == 8
    record = (run / "metrics.jsonl").read_text().split("\n")[0]
    assert '"real_size": 20' in record


@pytest.mark.parametrize("form", FORMS)
def test_is_packed_with_its_labels(form: str, tmp_path: Path) -> None:
    root = official(tmp_path, form)
    prepare(root, tmp_path / "packed", resolution=32, workers=1)
    packed = open_packed(tmp_path / "packed")
    source, _ = make(root)._ready()
    assert packed.fingerprint == source.fingerprint
    assert packed.labels is not None
    assert source.labels is not None
    assert np.array_equal(packed.labels, source.labels)
    everything = np.arange(len(source))
    assert np.array_equal(packed.read(everything), source.read(everything))
