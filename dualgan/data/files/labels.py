"""Classes of image files: NVlabs-style dataset.json, and one folder per class."""

import json
import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "dataset.json"
MAX_CLASSES = 2**16
"""Bound on classes, for which the networks' embeddings have memory: a label from elsewhere may be any number."""
_LEAST_LIMIT, _BYTES_PER_IMAGE = 2**20, 2**10  # JSON takes up to 60 times its size in memory


def labels_of_manifest(root: Path, read: Callable[[str], bytes], names: Sequence[str]) -> list[int] | None:
    """Read the classes of images from the dataset.json at their root.

    The file holds {"labels": [["00000/img00000000.png", 6], ...]}, or null in place of the list.

    Args:
        root: Folder or zip, for errors.
        read: Gives the content of a file below it, and raises KeyError or FileNotFoundError where there is none.
        names: Names of the images.

    Returns:
        The class of every named image; None without the file or when it says null.

    Raises:
        ValueError: For a file that is not in this form, classes that are no whole numbers from 0 on, and images
            without a class.
    """
    try:
        content = read(MANIFEST)
    except (KeyError, FileNotFoundError):
        return None
    limit = _LEAST_LIMIT + _BYTES_PER_IMAGE * len(names)
    if len(content) > limit:
        raise ValueError(
            f"'{root}': {MANIFEST} has {len(content):,} bytes, more than the {limit:,} that the labels of "
            f"{len(names)} images are thought to need. Make it again, or pass use_labels=false."
        )
    pairs = _pairs(root, content)
    if pairs is None:
        return None
    classes = dict(_checked(root, pair) for pair in pairs)
    missing = [name for name in names if name not in classes]
    if missing:
        raise ValueError(
            f"'{root}': {MANIFEST} has no label for {len(missing)} of {len(names)} images, such as '{missing[0]}'. "
            f"Label every image there, remove the others, or pass use_labels=false."
        )
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
        raise ValueError(
            f"'{root}': {MANIFEST} is no JSON ({error}). Make it again, or pass use_labels=false."
        ) from error
    pairs = manifest.get("labels") if isinstance(manifest, dict) else manifest
    if pairs is not None and not isinstance(pairs, list):
        raise ValueError(
            f"'{root}': {MANIFEST} holds no list of labels: expected {{\"labels\": [[NAME, CLASS], ...]}}. Make it "
            f"again, or pass use_labels=false."
        )
    return pairs


def _checked(root: Path, pair: Any) -> tuple[str, int]:
    match pair:
        case [str(name), int(label)] if not isinstance(label, bool) and 0 <= label < MAX_CLASSES:
            return name, label
    raise ValueError(
        f"'{root}': {MANIFEST} holds the label {reprlib.repr(pair)}: expected [NAME, CLASS] with a whole number from 0 "
        f"to {MAX_CLASSES - 1} as class. Correct it, or pass use_labels=false."
    )
