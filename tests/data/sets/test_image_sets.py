"""The published sets in small copies of their official layouts."""

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dualgan.data import CIFAR10, CLEVR, FFHQ, LSUN, AnimalFace, CelebA, FewShot, FileImages, ImageFolder
from dualgan.data.packed.preparing import prepare

PUBLISHED = (LSUN, FFHQ, CLEVR, CelebA, AnimalFace, CIFAR10, FewShot)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path / "cache"))


def ready(data: FileImages) -> FileImages:
    data.prepare_data()
    data.setup("fit")
    return data


def small(kind: type[FileImages], root: Path, **settings: Any) -> FileImages:
    return ready(kind(root=str(root), **{"resolution": 8, "batch_size": 1, "num_workers": 0, **settings}))


def reds(data: FileImages) -> list[int]:
    """Red of the middle of every image."""
    return real(data)[:, 4, 4, 0].tolist()


def real(data: FileImages) -> Tensor:
    return torch.cat([batch.images for batch in data.reference_dataloader()])


def save(root: Path, *names: str, size: tuple[int, int] = (8, 8)) -> None:
    """Save images that are told apart by their red."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10 * number, 200, 100)).save(path)


def zipped(folder: Path, archive: Path, top: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.*")):
            file.write(path, top + path.relative_to(folder).as_posix())
    return archive


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_missing_set_says_where_it_comes_from_and_how_it_must_lie(kind: type[FileImages], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere") as error:
        small(kind, tmp_path / "nowhere")
    message = str(error.value)
    for text in ("http", "Expected: ", "Licence: ", "images" if kind is not LSUN else "photographs"):
        assert text in message
    assert "\n" not in message


@pytest.mark.parametrize("kind", PUBLISHED)
def test_an_empty_folder_is_refused(kind: type[FileImages], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty' holds no images.*Expected: .*Licence: "):
        small(kind, tmp_path / "empty")


@pytest.mark.parametrize("kind", PUBLISHED)
def test_any_folder_or_zip_of_images_is_read_too(kind: type[FileImages], tmp_path: Path) -> None:
    settings = {"use_labels": False, "crop": "center"}
    save(tmp_path / "own", *(f"{number}.png" for number in range(3)))
    archive = zipped(tmp_path / "own", tmp_path / "own.zip")
    for root in (tmp_path / "own", archive):
        assert reds(small(kind, root, **settings)) == [0, 10, 20]
    with pytest.raises(ValueError, match="batch_size 4 is larger than the data set of 3 images"):
        small(kind, archive, batch_size=4, **settings)


def test_ffhq_folders_are_told_apart(tmp_path: Path) -> None:
    root = tmp_path / "ffhq"
    save(root, "images1024x1024/00000/00000.png", "thumbnails128x128/00000/00000.png", "in-the-wild-images/0/0.png")
    assert reds(small(FFHQ, root)) == [0]
    assert reds(small(FFHQ, root, folder="thumbnails128x128")) == [10]
    assert reds(small(FFHQ, root / "thumbnails128x128", folder="thumbnails128x128")) == [10]
    assert reds(small(FFHQ, zipped(root, tmp_path / "ffhq.zip"), folder="thumbnails128x128")) == [10]
    with pytest.raises(ValueError, match=r"does not hold images1024x1024, only thumbnails128x128"):
        small(FFHQ, root / "thumbnails128x128")
    assert FFHQ().resize_filter == "box"


def test_clevr_splits_are_told_apart(tmp_path: Path) -> None:
    root = tmp_path / "clevr"
    splits = ("train", "val", "test")
    save(root, *(f"CLEVR_v1.0/images/{split}/CLEVR_{split}_000000.png" for split in splits), size=(12, 8))
    archive = zipped(root, tmp_path / "CLEVR_v1.0.zip")
    for place in (root, root / "CLEVR_v1.0", archive):
        assert [reds(small(CLEVR, place, split=split)) for split in splits] == [[0], [10], [20]]
    save(tmp_path / "own", "a.png")
    with pytest.raises(ValueError, match="does not hold images/val"):
        small(CLEVR, tmp_path / "own", split="val")


def test_celeba_is_cut_around_the_face(tmp_path: Path) -> None:
    root = tmp_path / "celeba"
    aligned = np.random.default_rng(0).integers(0, 256, (218, 178, 3), np.uint8)
    (root / "img_align_celeba").mkdir(parents=True)
    Image.fromarray(aligned).save(root / "img_align_celeba" / "000001.png")
    save(root, "img_celeba/000001.png")
    found = real(small(CelebA, root, resolution=128))
    assert found.shape == (1, 128, 128, 3)
    assert torch.equal(found[0], torch.from_numpy(aligned[57:185, 25:153]))
    save(tmp_path / "own", "0.png")
    with pytest.raises(ValueError, match=r"image '0\.png': 8x8 pixels are too few for crop 'celeba'.*another crop"):
        small(CelebA, tmp_path / "own")


def test_images_that_are_not_square_need_a_crop(tmp_path: Path) -> None:
    save(tmp_path / "own", "wide.png", size=(12, 8))
    with pytest.raises(ValueError, match=r"image 'wide\.png': 12x8 pixels are not square"):
        small(ImageFolder, tmp_path / "own", crop="none")


def test_animals_are_numbered_by_their_folders(tmp_path: Path) -> None:
    save(tmp_path / "faces", "n02/a.jpg", "n01/b.jpg", "n02/c.jpg", "n03/a.jpg")
    data = small(AnimalFace, tmp_path / "faces", use_labels=True)
    assert data.num_classes == 3
    (batch,) = data.reference_dataloader()
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 1, 1, 2]  # n01/b, n02/a, n02/c, n03/a
    assert small(AnimalFace, tmp_path / "faces").num_classes == 0
    with pytest.raises(ValueError, match=r"expected a dataset\.json .* or a folder for every class"):
        small(AnimalFace, tmp_path / "faces" / "n02", use_labels=True)


@pytest.mark.parametrize("packed_as", ["folder", "zip"])
def test_few_shot_sets_are_found_below_their_folder(packed_as: str, tmp_path: Path) -> None:
    root = tmp_path / "few"
    for number, name in enumerate(("100-shot-obama", "AnimalFace-cat")):
        save(tmp_path / "made", *["skip.png"] * number, f"{name}.png")
        (tmp_path / "made" / "skip.png").unlink(missing_ok=True)
        save(root if packed_as == "folder" else tmp_path / "unpacked", f"{name}/0.png", f"{name}/{number}.png")
        if packed_as == "zip":
            root.mkdir(exist_ok=True)
            zipped(tmp_path / "unpacked" / name, root / f"{name}.zip")
    assert len(real(small(FewShot, root, name="obama"))) == 1
    assert len(real(small(FewShot, root, name="animal_face_cat"))) == 2
    with pytest.raises(ValueError, match=r"holds 100-shot-obama, AnimalFace-cat, and not 100-shot-panda.*http"):
        small(FewShot, root, name="panda")


def test_lfw_faces_are_those_of_scikit_image() -> None:
    from skimage.data import lfw_subset

    data = ready(FewShot("lfw100", resolution=16, num_workers=0))
    images = real(data)
    assert images.shape == (100, 16, 16, 1)
    assert (data.num_channels, data.num_classes, data.dataset_size) == (1, 0, 100)
    whole = ready(FewShot("lfw100", resolution=16, resize_filter="box", num_workers=0))
    face = Image.fromarray(np.rint(lfw_subset()[7] * 255).astype(np.uint8))  # type: ignore[no-untyped-call]
    by_hand = np.asarray(face.resize((16, 16), Image.Resampling.BOX))
    assert np.array_equal(real(whole)[7, :, :, 0], by_hand)
    assert data.fingerprint != whole.fingerprint
    assert data.reference_set().dataset_size == 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # there are none larger than 25x25
        assert ready(FewShot("lfw100", resolution=32, num_workers=0)).dataset_size == 100
    with pytest.raises(ValueError, match="root 'here' has no meaning for FewShot 'lfw100'"):
        FewShot("lfw100", root="here")


def test_lfw_faces_need_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"scikit-image, which is not installed.*dualgan\[lfw\]"):
        ready(FewShot("lfw100", resolution=16))


# Labels of folders and zips


def labelled(tmp_path: Path, content: Any, as_zip: bool = True) -> Path:
    folder = tmp_path / "set"
    save(folder, "00000/a.png", "00000/b.png", "00001/c.png")
    (folder / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return zipped(folder, tmp_path / "set.zip") if as_zip else folder


PAIRS = [["00001/c.png", 4], ["00000/a.png", 2], ["00000/b.png", 0], ["not/there.png", 7]]


@pytest.mark.parametrize("as_zip", [True, False])
def test_labels_come_from_dataset_json(as_zip: bool, tmp_path: Path) -> None:
    root = labelled(tmp_path, {"labels": PAIRS}, as_zip)
    data = small(ImageFolder, root, use_labels=True)
    (batch,) = data.reference_dataloader()
    assert batch.labels is not None
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [1, 0, 2]
    assert data.num_classes == 3  # without gaps, and without the labels of images that are not there
    assert data.class_names == ("0", "2", "4")
    unlabelled = small(ImageFolder, root)
    assert unlabelled.num_classes == 0
    assert next(iter(unlabelled.train_dataloader())).labels is None
    assert unlabelled.fingerprint == data.fingerprint


def test_labels_have_a_fingerprint_of_their_own(tmp_path: Path) -> None:
    found = []
    for classes in ((0, 1), (1, 0)):
        root = tmp_path / str(classes)
        save(root, "0.png", "1.png")
        pairs = [[f"{number}.png", classes[number]] for number in range(2)]
        (root / "dataset.json").write_text(json.dumps({"labels": pairs}))
        data = small(ImageFolder, root, use_labels=True)
        found.append((data.fingerprint, data.label_fingerprint))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]
    assert small(ImageFolder, root).label_fingerprint is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"labels": PAIRS[:1]}, r"no label for 2 of 3 images, such as '00000/a\.png'"),
        ({"labels": [["00000/a.png", 0.5]]}, r"label \['00000/a\.png', 0\.5\].*whole number"),
        ({"labels": [["00000/a.png", True]]}, "whole number"),
        ({"labels": [["00000/a.png", -1]]}, "whole number"),
        ({"labels": [["00000/a.png", [0, 1]]]}, "whole number"),
        ({"labels": [3]}, "whole number"),
        ({"labels": "many"}, "holds no list of labels"),
        ({"labels": None}, "has no labels, and use_labels is true"),
        ("{", "is no JSON"),
    ],
)
def test_wrong_labels_are_named(content: Any, complaint: str, tmp_path: Path) -> None:
    root = labelled(tmp_path, content)
    with pytest.raises(ValueError, match=rf"set\.zip'.*{complaint}.*use_labels=false"):
        small(ImageFolder, root, use_labels=True)
    assert small(ImageFolder, root).num_classes == 0


# What metrics compare with


def test_reference_is_the_full_set_the_subset_or_other_images(tmp_path: Path) -> None:
    save(tmp_path / "own", *(f"{number}.png" for number in range(10)))
    save(tmp_path / "other", "x.png", "y.png", "z.png", size=(16, 16))
    whole = small(ImageFolder, tmp_path / "own")

    def make(reference: str) -> FileImages:
        return small(ImageFolder, tmp_path / "own", subset=4, reference=reference)

    full, train, other = (make(r).reference_set() for r in ("full", "train", str(tmp_path / "other")))
    assert (full.dataset_size, full.fingerprint) == (10, whole.fingerprint)
    assert (train.dataset_size, train.fingerprint) == (4, make("full").fingerprint)
    assert other.dataset_size == 3
    assert other.fingerprint == small(ImageFolder, tmp_path / "other").fingerprint
    assert {r.resize_filter for r in (full, train, other)} == {"lanczos"}
    seen = [torch.cat([batch.images for batch in r.reference_dataloader()]) for r in (full, train, other)]
    assert torch.equal(seen[0], real(whole))
    assert torch.equal(seen[1], real(make("train")))
    assert seen[2].shape == (3, 8, 8, 3)
    with pytest.raises(ValueError, match="no folder or zip of images at 'nowhere'"):
        make("nowhere").reference_set()


def test_a_number_of_images_is_drawn_from_the_mirrored_ones_too(tmp_path: Path) -> None:
    save(tmp_path / "own", *(f"{number}.png" for number in range(10)))
    plain, mirrored = (small(ImageFolder, tmp_path / "own", mirror=mirror) for mirror in (False, True))
    assert not plain.reference_set(8).mirrored
    assert mirrored.reference_set().fingerprint == plain.reference_set().fingerprint  # all, once each
    drawn = mirrored.reference_set(8)
    assert (drawn.mirrored, drawn.dataset_size) == (True, 20)
    assert drawn.fingerprint != plain.fingerprint
    both = torch.cat([batch.images for batch in drawn.reference_dataloader()])
    assert torch.equal(both[10:], both[:10].flip(2))
    part = torch.cat([batch.images for batch in drawn.reference_dataloader(12, batches=[range(0, 5), range(5, 12)])])
    assert len(part) == 12
    assert torch.equal(part, torch.cat([batch.images for batch in drawn.reference_dataloader(12, batch_size=3)]))


def test_references_know_how_many_images_a_class_has(tmp_path: Path) -> None:
    save(tmp_path / "own", *(f"{number}.png" for number in range(4)))
    labels = [[f"{number}.png", [0, 2, 2, 0][number]] for number in range(4)]
    (tmp_path / "own" / "dataset.json").write_text(json.dumps({"labels": labels}))
    counts = small(ImageFolder, tmp_path / "own", use_labels=True).reference_set().label_counts
    assert counts is not None
    assert counts.tolist() == [2, 2]
    assert small(ImageFolder, tmp_path / "own").reference_set().label_counts is None


def test_missing_reference_images_are_noticed_before_training(tmp_path: Path) -> None:
    save(tmp_path / "own", "0.png")
    with pytest.raises(ValueError, match="no folder or zip of images at 'nowhere'"):
        ImageFolder(str(tmp_path / "own"), resolution=8, reference="nowhere").prepare_data()


def test_a_part_of_the_reference_is_drawn_from_all_classes(tmp_path: Path) -> None:
    save(tmp_path / "own", *(f"{number:02}.png" for number in range(20)))
    reference = small(ImageFolder, tmp_path / "own").reference_set()

    def part(num: int) -> list[int]:
        batches = reference.reference_dataloader(num, batch_size=4)
        return torch.cat([batch.images for batch in batches])[:, 4, 4, 0].tolist()

    assert part(20) == [10 * number for number in range(20)]
    assert len(part(6)) == 6
    assert part(6) == part(6) == sorted(part(6))
    assert set(part(3)) < set(part(6))
    assert max(part(6)) >= 100  # not the first ones
    trained_on = small(ImageFolder, tmp_path / "own", subset=6)
    assert reds(trained_on) != part(6)


def test_subset_can_be_a_fraction(tmp_path: Path) -> None:
    save(tmp_path / "own", *(f"{number:02}.png" for number in range(10)))
    fifth, two = (small(ImageFolder, tmp_path / "own", subset=subset) for subset in (0.2, 2))
    assert reds(fifth) == reds(two)
    assert fifth.fingerprint == two.fingerprint
    assert set(reds(two)) < set(reds(small(ImageFolder, tmp_path / "own", subset=0.5)))
    with pytest.raises(ValueError, match=r"subset 0\.01 is less than one of 10 images"):
        small(ImageFolder, tmp_path / "own", subset=0.01)


# Packed sets


def test_packed_sets_are_read_like_their_files(tmp_path: Path) -> None:
    root = labelled(tmp_path, {"labels": PAIRS})
    prepare(root, tmp_path / "packed", 8, "box", workers=1)
    packed = small(ImageFolder, tmp_path / "packed", resize_filter="box", use_labels=True)
    files = small(ImageFolder, root, resize_filter="box", use_labels=True)
    assert torch.equal(real(packed), real(files))
    assert packed.fingerprint == files.fingerprint
    assert packed.class_names == files.class_names == ("0", "2", "4")
    assert packed.label_fingerprint == files.label_fingerprint
    assert small(ImageFolder, tmp_path / "packed", resize_filter="box").num_classes == 0
    as_reference = small(ImageFolder, root, resize_filter="box", reference=str(tmp_path / "packed"))
    assert as_reference.reference_set().fingerprint == files.fingerprint


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"resolution": 16}, "packed with resolution 8, and resolution 16 is asked for"),
        ({"resize_filter": "lanczos"}, "packed with resize_filter box, and resize_filter lanczos"),
        ({"crop": "none"}, "packed with crop center, and crop none"),
        ({"num_channels": 1}, "packed with num_channels 3, and num_channels 1"),
        ({"skip_bad_images": True}, "leave skip_bad_images out"),
        ({"use_labels": True}, "has no labels, and use_labels is true"),
    ],
)
def test_packed_sets_never_change_the_preparation(changes: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    save(tmp_path / "own", "a.png")
    prepare(tmp_path / "own", tmp_path / "packed", 8, "box", workers=1)
    with pytest.raises(ValueError, match=complaint):
        small(ImageFolder, tmp_path / "packed", **{"resize_filter": "box", **changes})


def test_packed_sets_know_no_splits(tmp_path: Path) -> None:
    save(tmp_path / "own", "a.png")
    prepare(tmp_path / "own", tmp_path / "packed", 8, workers=1)
    assert small(CLEVR, tmp_path / "packed").dataset_size == 1
    with pytest.raises(ValueError, match="split 'val' cannot be told from the rest"):
        small(CLEVR, tmp_path / "packed", split="val")
