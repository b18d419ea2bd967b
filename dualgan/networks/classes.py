"""The classes of a generator: their names, and which of them exist."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class ImageClass(NamedTuple):
    """A class of images.

    Attributes:
        name: The label or folder that it had in the data set.
        images: How many images it had there; None where that is not known.
    """

    name: str
    images: int | None = None


def plain_classes(classes: Sequence[ImageClass]) -> list[list[Any]]:
    """Classes as plain data: [[name, images], ...]."""
    return [list(one) for one in classes]


def classes_of(found: Any, num_classes: int, source: str) -> tuple[ImageClass, ...]:
    """Classes from the plain data of any file; none where it names none.

    Args:
        found: What `plain_classes` gave, or None.
        num_classes: How many the generator of the file has.
        source: The file, for messages.

    Raises:
        ValueError: It is something else.
    """
    if not found:
        return ()
    if not (isinstance(found, list) and len(found) == num_classes and all(map(_is_class, found))):
        raise ValueError(
            f"{source} is damaged: its classes are no list of {num_classes} names and numbers of images. Take another "
            f"copy"
        )
    return tuple(ImageClass(*one) for one in found)


def _is_class(found: Any) -> bool:
    match found:
        case [str(), None]:
            return True
        case [str(), int(images)]:
            return images >= 0
    return False


def class_names(generator: nn.Module) -> list[str]:
    """The name of every class; its number where it has none."""
    named: Sequence[ImageClass] = getattr(generator, "classes", ())
    return [one.name for one in named] or [str(k) for k in range(int(generator.num_classes))]  # type: ignore[arg-type]


def existing_classes(generator: nn.Module) -> list[int]:
    """The classes that had images, as far as that is known."""
    named: Sequence[ImageClass] = getattr(generator, "classes", ())
    known = [k for k, one in enumerate(named) if one.images != 0]
    return known or list(range(int(generator.num_classes)))  # type: ignore[arg-type]


def same_class(number: int | None, count: int) -> Tensor | None:
    """The class of one number for every image, int64 [count]; None where there is none."""
    return None if number is None else torch.full((1,), number).expand(count)  # no memory, however many


def listed(counts: Mapping[str, int], most: int = 10) -> str:
    """Classes with their numbers of images, in words."""
    shown = [f"{name} ({images})" for name, images in list(counts.items())[:most]]
    return ", ".join(shown) + (f" and {len(counts) - most} more" if len(counts) > most else "")
