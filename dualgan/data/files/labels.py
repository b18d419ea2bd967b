"""Classes of image files: NVlabs-style dataset.json, and one folder per class."""

import json
import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dualgan.data.files.base import ImageFile

MANIFEST = "dataset.json"
MAX_CLASSES = 2**16
"""Bound on classes, for which the networks' embeddings have memory: a label from elsewhere may be any number."""
_LEAST_LIMIT, _BYTES_PER_IMAGE = 2**20, 2**10  # JSON takes up to 60 times its size in memory


def labels_of_manifest(root: Path, read: Callable[[str], ImageFile], names: Sequence[str]) -> list[int] | None:
    """Read the classes of images from the dataset.json at their root.

    The file holds {"labels": [["00000/img00000000.png", 6], ...]}, or null in place of the list.

    Args:
        root: Folder or zip, for errors.
        read: Fetches a file below it, and raises KeyError or FileNotFoundError where there is none.
        names: Names of the images.

    Returns:
        The class of every named image; None without the file or when it says null.

    Raises:
        ValueError: For a file that is not in this form, classes that are no whole numbers from 0 on, and images
            without a class.
    """
    try:
        content = read(MANIFEST).content
    except (KeyError, FileNotFoundError):
        return None
    limit = _LEAST_LIMIT + _BYTES_PER_IMAGE * len(names)
    if len(content) > limit:
        needed = f"the {limit:,} that the labels of {len(names)} images are thought to need"
        raise _wrong(root, f"has {len(content):,} bytes, more than {needed}. Make it again")
    pairs = _pairs(root, content)
    if pairs is None:
        return None
    classes = dict(_checked(root, pair) for pair in pairs)
    missing = [name for name in names if name not in classes]
    if missing:
        unlabelled = f"{len(missing)} of {len(names)} images, such as '{missing[0]}'"
        raise _wrong(root, f"has no label for {unlabelled}. Label every image there, remove the others")
    return [classes[name] for name in names]


def labels_of_folders(root: Path, names: Sequence[str]) -> list[int]:
    """Class of every image by the folder it is in: folders are numbered in the order of their names.

    Raises:
        ValueError: When all images are in one folder.
    """
    folders = [PurePosixPath(name).parent.as_posix() for name in names]
    classes = {folder: number for number, folder in enumerate(sorted(set(folders)))}
    if len(classes) < 2:
        raise ValueError(
            f"'{root}' has its images in one folder, and so no classes: expected a folder for every class. Pass "
            f"use_labels=false, or the folder that holds those of the classes."
        )
    return [classes[folder] for folder in folders]


def _pairs(root: Path, content: bytes) -> list[Any] | None:
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:  # the latter for values nested thousands deep
        raise _wrong(root, f"is no JSON ({error}). Make it again") from error
    pairs = manifest.get("labels") if isinstance(manifest, dict) else manifest
    if pairs is not None and not isinstance(pairs, list):
        raise _wrong(root, 'holds no list of labels: expected {"labels": [[NAME, CLASS], ...]}. Make it again')
    return pairs


def _checked(root: Path, pair: Any) -> tuple[str, int]:
    match pair:
        case [str(name), int(label)] if not isinstance(label, bool) and 0 <= label < MAX_CLASSES:
            return name, label
    expected = f"[NAME, CLASS] with a whole number from 0 to {MAX_CLASSES - 1} as class"
    raise _wrong(root, f"holds the label {reprlib.repr(pair)}: expected {expected}. Correct it")


def _wrong(root: Path, problem: str) -> ValueError:
    return ValueError(f"'{root}': {MANIFEST} {problem}, or pass use_labels=false.")
