"""Classes of image files: NVlabs-style dataset.json, and one folder per class."""

import difflib
import json
import reprlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualgan.data.files.base import Files, ImageFile, Labels

MANIFEST = "dataset.json"
MAX_CLASSES = 2**16
"""Bound on classes, for which the networks' embeddings have memory."""
_MAX_LABEL = 2**63 - 1  # a label is a name alone, and may be any number
_COMPARED = 10_000  # names that are searched for a similar one
_LEAST_LIMIT, _BYTES_PER_IMAGE = 2**20, 2**10  # JSON takes up to 60 times its size in memory


def numbered(root: str | Path, labels: Sequence[int] | NDArray[np.int64]) -> Labels:
    """Classes of labels [N], whole numbers in any places: numbered in their order and without gaps.

    Raises:
        ValueError: There are more classes than networks are built for.
    """
    given = np.asarray(labels, np.int64)
    if given.max() < MAX_CLASSES:  # large sets are numbered without gaps: no second array is made of them
        there = np.bincount(given) > 0
        found = np.flatnonzero(there)
        classes = given if there.all() else (np.cumsum(there) - 1)[given]
    else:
        found, classes = np.unique(given, return_inverse=True)
    return _bounded(root, Labels(classes, tuple(map(str, found.tolist()))))


def labels_of_manifest(root: Path, read: Callable[[str], ImageFile], names: Sequence[str]) -> Labels | None:
    """Read the classes of images from the dataset.json at their root.

    The file holds {"labels": [["00000/img00000000.png", 6], ...]}, or null in place of the list. Backslashes in names,
    which Windows writes, are read as forward slashes.

    Args:
        root: Folder or zip, for errors.
        read: Fetches a file below it, and raises KeyError or FileNotFoundError where there is none.
        names: Names of the images.

    Returns:
        The class of every named image, without names of classes when it says null; None without the file.

    Raises:
        ValueError: For a file that is not in this form, labels that are no whole numbers from 0 on, images without a
            label, and too many classes.
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
        return Labels(np.empty(0, np.int64), ())
    labels: dict[str, int] = {}
    for name, label in (_checked(root, pair) for pair in pairs):
        if labels.setdefault(name, label) != label:
            raise _wrong(root, f"gives '{name}' the labels {labels[name]} and {label}. Name every image once")
    if any(name not in labels for name in names) and any("\\" in name for name in (*labels, *names)):
        labels = {_slashed(name): label for name, label in labels.items()}
        names = [_slashed(name) for name in names]
        warnings.warn(f"'{root}': backslashes in the names of {MANIFEST} are read as forward slashes.", stacklevel=2)
    missing = [name for name in names if name not in labels]
    if missing:
        unlabelled = f"{len(missing)} of {len(names)} images, such as '{missing[0]}'"
        hint = _similar(missing[0], labels)
        raise _wrong(root, f"has no label for {unlabelled}{hint}. Label every image there, remove the others")
    return numbered(root, [labels[name] for name in names])


def labels_of_folders(root: Path, names: Sequence[str]) -> Labels:
    """Class of every image by the first folder that tells them apart, numbered in the order of the folders' names.

    Raises:
        ValueError: All images are in one folder, some lie beside the folders of classes, or there are too many.
    """
    parents = [tuple(_slashed(name).split("/")[:-1]) for name in names]
    first, last = min(parents), max(parents)
    depth = next((k for k, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    if beside := [name for name, parent in zip(names, parents, strict=True) if len(parent) == depth]:
        problem = (
            "has its images in one folder, and so no classes: expected a folder for every class"
            if len(beside) == len(names)
            else f"has {len(beside)} images beside the folders of its classes, such as '{beside[0]}': they have no "
            f"class. Move them into one of the folders or away"
        )
        raise ValueError(
            f"'{root}' {problem}. Otherwise add a {MANIFEST} with {{\"labels\": [[NAME, CLASS], ...]}}, or pass "
            f"use_labels=false."
        )
    folders = [parent[depth] for parent in parents]
    found, classes = np.unique(folders, return_inverse=True)
    return _bounded(root, Labels(classes.astype(np.int64), tuple(found.tolist()), stated=False))


def labels_or_folders(files: Files, names: Sequence[str]) -> Labels | None:
    """The classes of some images that the set states, or that its folders suggest; None where neither does."""
    if (stated := files.labels(names)) is not None:
        return stated if stated.names else None
    try:
        return labels_of_folders(files.root, names) if in_folders(names) else None
    except ValueError:
        return None


def class_folders(names: Sequence[str]) -> list[str]:
    """Folders that look like classes: several at the top with names that are no numbers, as of parts of a large set."""
    if not all("/" in _slashed(name) for name in names):
        return []
    folders = sorted({_slashed(name).partition("/")[0] for name in names})
    return folders if len(folders) > 1 and not any(folder.isdigit() for folder in folders) else []


def in_folders(names: Sequence[str]) -> bool:
    """Whether any name leads through a folder."""
    return any("/" in name or "\\" in name for name in names)


def _bounded(root: str | Path, labels: Labels) -> Labels:
    if len(labels.names) > MAX_CLASSES:
        raise ValueError(
            f"'{root}' has {len(labels.names):,} classes, more than the {MAX_CLASSES:,} that networks are built for. "
            f"Label its images more coarsely, or pass use_labels=false."
        )
    return labels


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


def _similar(name: str, labels: Mapping[str, int]) -> str:
    """Words about the label that was perhaps meant for an image."""
    file = PurePosixPath(name).name.casefold()
    stem = PurePosixPath(file).stem
    files = {other: PurePosixPath(other).name.casefold() for other in labels}
    alike = [other for other, its in files.items() if its == file]
    alike = alike or [other for other, its in files.items() if PurePosixPath(its).stem == stem]
    same = next(iter(alike or difflib.get_close_matches(name, list(labels)[:_COMPARED], 1)), None)
    return "" if same is None else f" (it has one for '{same}')"


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
        case [str(name), int(label)] if not isinstance(label, bool) and 0 <= label <= _MAX_LABEL:
            return name, label
    expected = f"[NAME, CLASS] with a whole number from 0 to {_MAX_LABEL} as class"
    raise _wrong(root, f"holds the label {reprlib.repr(pair)}: expected {expected}. Correct it")


def _wrong(root: Path, problem: str) -> ValueError:
    return ValueError(f"'{root}': {MANIFEST} {problem}, or train without classes (use_labels=false).")
