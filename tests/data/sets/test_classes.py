"""Where the classes of a set come from, what they are called, and what is said of them."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualgan.data import CIFAR10, FileImages, ImageFolder
from dualgan.data.packed.preparing import prepare
from tests.conftest import RunCLI
from tests.tiny import tiny_gan, tiny_trainer


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path / "cache"))


def save(root: Path, *names: str) -> Path:
    draw = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(root / name)
    return root


def zipped(folder: Path, separator: str = "/") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            member = zipfile.ZipInfo("x")
            member.filename = file.relative_to(folder).as_posix().replace("/", separator)
            archive.writestr(member, file.read_bytes())
    return path


def state(root: Path, labels: Any) -> Path:
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    return root


def opened(root: Path, kind: type[FileImages] = ImageFolder, **settings: Any) -> FileImages:
    data = kind(str(root), **{"resolution": 8, "batch_size": 2, "num_workers": 0, "use_labels": True, **settings})
    data.prepare_data()
    data.setup("fit")
    return data


def labels(data: FileImages) -> list[int]:
    return [int(label) for batch in data.reference_dataloader() if batch.labels is not None for label in batch.labels]


LAYOUTS = {
    "folders": ["cat/1.png", "cat/2.png", "dog/1.png"],
    "below a common folder": ["all/cat/1.png", "all/cat/2.png", "all/dog/1.png"],
    "folders in them": ["cat/a/1.png", "cat/b/2.png", "dog/1.png"],
}


@pytest.mark.parametrize("how", ["folder", "zip", "zip of Windows", "packed"])
@pytest.mark.parametrize("names", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_folder_is_a_class(names: list[str], how: str, tmp_path: Path) -> None:
    root = save(tmp_path / "set", *names)
    if how.startswith("zip"):
        root = zipped(root, "\\" if "Windows" in how else "/")
    if how == "packed":
        prepare(root, tmp_path / "packed", 8, workers=1)
        root = tmp_path / "packed"
    data = opened(root)
    assert data.class_names == ("cat", "dog")
    assert labels(data) == [0, 0, 1]
    assert data.label_counts is not None
    assert data.label_counts.tolist() == [2, 1]


def test_images_beside_the_folders_of_classes_are_refused(tmp_path: Path) -> None:
    root = save(tmp_path / "set", "cat/1.png", "dog/1.png", "stray.png")
    with pytest.raises(ValueError, match=r"set' has 1 images beside the folders of its classes, such as 'stray\.png'"):
        opened(root)
    assert opened(root, use_labels=False).num_classes == 0


def test_a_set_that_states_that_it_has_no_labels_has_none(tmp_path: Path) -> None:
    root = state(save(tmp_path / "set", "00000/1.png", "00001/2.png"), None)  # as StyleGAN2-ADA's tool writes it
    with pytest.raises(ValueError, match="has no labels, and use_labels is true"):
        opened(root)


@pytest.mark.parametrize("packed", [False, True])
def test_classes_have_no_gaps_and_keep_their_labels_as_names(packed: bool, tmp_path: Path) -> None:
    pairs = [["0.png", 999], ["1.png", 10**12], ["2.png", 0], ["3.png", 999]]
    root = state(save(tmp_path / "set", *(f"{k}.png" for k in range(4))), pairs)
    if packed:
        prepare(root, tmp_path / "packed", 8, workers=1)
        root = tmp_path / "packed"
    data = opened(root)
    assert data.num_classes == 3
    assert data.class_names == ("0", "999", "1000000000000")
    assert labels(data) == [1, 2, 0, 1]


def test_more_classes_than_a_network_has_memory_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualgan.data.files.labels.MAX_CLASSES", 2)
    root = state(save(tmp_path / "set", "0.png", "1.png", "2.png"), [[f"{k}.png", 5 * k] for k in range(3)])
    with pytest.raises(ValueError, match="has 3 classes, more than the 2 that networks are built for"):
        opened(root)


@pytest.mark.parametrize("as_zip", [False, True])
def test_names_written_on_windows_are_read(as_zip: bool, tmp_path: Path) -> None:
    root = save(tmp_path / "set", "00000/img0.png", "00000/img1.png")
    state(root, [["00000\\img0.png", 3], ["00000\\img1.png", 7]])
    with pytest.warns(UserWarning, match=r"backslashes in the names of dataset\.json are read as forward slashes"):
        data = opened(zipped(root) if as_zip else root)
    assert data.class_names == ("3", "7")
    assert labels(data) == [0, 1]


@pytest.mark.parametrize(
    ("stated", "meant"),
    [("b/img.png", "b/img.png"), ("a/IMG.PNG", "a/IMG.PNG"), ("a/img.jpg", "a/img.jpg"), ("a/imgs.png", "a/imgs.png")],
)
def test_a_missing_name_is_shown_beside_the_one_that_looks_like_it(stated: str, meant: str, tmp_path: Path) -> None:
    root = state(save(tmp_path / "set", "a/img.png"), [[stated, 0], ["x/none-of-it.gif", 1]])
    with pytest.raises(
        ValueError, match=rf"no label for 1 of 1 images, such as 'a/img\.png' \(it has one for '{meant}'"
    ):
        opened(root)


def test_cifar10_has_its_names_also_where_classes_have_no_image(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(bytes([3]) + bytes(3072))
    data = opened(tmp_path, CIFAR10, resolution=32)
    assert data.class_names[3] == "cat"
    assert data.num_classes == 10
    assert labels(data) == [3] * 5


@pytest.mark.parametrize("packed", [False, True])
def test_a_training_says_that_it_leaves_labels_unused(
    packed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def said(data: FileImages) -> list[str]:
        caplog.clear()
        tiny_trainer(1).fit(tiny_gan(num_classes=data.num_classes), datamodule=data)
        return [text for text in caplog.messages if "labels" in text or "dataset.json" in text]

    names = [f"{k}.png" for k in range(8)]
    root = state(save(tmp_path / "set", *names), [[name, k % 3] for k, name in enumerate(names)])
    if packed:
        prepare(root, tmp_path / "packed", 8, workers=1)
        root = tmp_path / "packed"
    settings: dict[str, Any] = {"resolution": 8, "batch_size": 8, "num_workers": 0}
    (text,) = said(ImageFolder(str(root), **settings))
    assert re.search(r"labels of its 3 classes are not used\. Pass --data\.use_labels true", text)
    assert said(ImageFolder(str(root), use_labels=True, **settings)) == []
    assert said(ImageFolder(str(save(tmp_path / "plain", *names)), **settings)) == []
    (text,) = said(ImageFolder(str(state(tmp_path / "plain", [["0.png", 1]])), **settings))
    assert "its dataset.json is not used, and could not be as it is" in text


def test_inspect_and_prepare_name_the_classes(run_cli: RunCLI, in_empty_folder: Path) -> None:
    folders = save(Path("folders"), "cat/1.png", "cat/2.png", "dog/1.png")
    assert "2 by folder (cat: 2, dog: 1)" in run_cli.succeeds("inspect", folders)
    labelled = state(save(Path("labelled"), "1.png", "2.png"), [["1.png", 0], ["2.png", 999]])
    assert re.search(r"classes +2 \(0: 1, 999: 1\)", run_cli.succeeds("inspect", labelled))
    assert "Kept the labels, 2 classes" in run_cli.succeeds("prepare", labelled, "packed", "--resolution", 8)
    assert re.search(r"classes +2 \(0: 1, 999: 1\)", run_cli.succeeds("inspect", "packed"))
    assert re.search(r"classes +none", run_cli.succeeds("inspect", save(Path("flat"), "1.png", "2.png")))


def test_a_training_says_that_its_folders_could_be_classes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def said(root: Path, **settings: Any) -> str:
        data = ImageFolder(str(root), resolution=8, batch_size=2, num_workers=0, **settings)
        tiny_trainer(1).fit(tiny_gan(num_classes=data.num_classes), datamodule=data)
        return capfd.readouterr().err

    animals = save(tmp_path / "animals", "cat/1.png", "dog/1.png", "emu/1.png", "fox/1.png")
    assert "its folders (cat, dog, emu, ...) are not taken for classes. --data.use_labels true" in said(animals)
    prepare(animals, tmp_path / "packed", 8, workers=1)
    assert "its folders (cat, dog, emu, ...) are not taken for classes" in said(tmp_path / "packed")
    assert "not taken for classes" not in said(animals, use_labels=True)
    parts = save(tmp_path / "parts", "00000/1.png", "00001/1.png", "00002/1.png", "00003/1.png")
    assert "not taken for classes" not in said(parts)


def test_one_image_with_two_labels_is_refused(tmp_path: Path) -> None:
    root = state(save(tmp_path / "set", "0.png", "1.png"), [["0.png", 0], ["1.png", 0], ["0.png", 1]])
    with pytest.raises(ValueError, match=r"dataset.json gives '0.png' the labels 0 and 1. Name every image once"):
        opened(root)


def test_inspect_looks_at_images_whose_labels_are_wrong(run_cli: RunCLI, in_empty_folder: Path) -> None:
    state(save(Path("set"), "0.png", "1.png"), [["0.png", 0]])
    out = run_cli.succeeds("inspect", "set")
    assert "no classes: 'set': dataset.json has no label for 1 of 2 images" in out
    assert "2 images" in out
