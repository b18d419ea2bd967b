"""Sample grids of a run, small enough to lie inside a page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from dualgan.data.files.decoding import decode
from dualgan.runs.clock import dated
from dualgan.runs.folder import REAL, SAMPLES

_JPEG_QUALITY = 85

T = TypeVar("T")


class Picture(NamedTuple):
    """A grid of samples: when it was made, and JPEG in a data URI."""

    kimg: float
    uri: str


class Samples(NamedTuple):
    """Pictures of a run.

    Attributes:
        generated: Grids of samples, the earliest first.
        real: Grid of real images, JPEG in a data URI; None where there is none.
        found: Number of grids in the run's folder.
        damaged: Files that are no pictures (yet).
    """

    generated: list[Picture]
    real: str | None
    found: int
    damaged: list[str]


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` items at even distances, the first and the last among them; of a single one, the last."""
    if count == 1:
        return list(items[-1:])
    return [items[round(k)] for k in np.linspace(0, len(items) - 1, min(count, len(items)))]


def read_samples(folder: Path, count: int, size: int) -> Samples:
    """Read a run's samples/.

    Args:
        folder: The run's folder.
        count: Most grids to take, 1 or more.
        size: Longest side in pixels; larger pictures are reduced.
    """
    place = folder / SAMPLES
    found = dated(place, ".png")
    chosen = [(clock / 1000, path.name, _data_uri(path, size)) for clock, path in spread(found, count)]
    generated = [Picture(kimg, uri) for kimg, _, uri in chosen if uri is not None]
    damaged = [name for _, name, uri in chosen if uri is None]
    return Samples(generated, _data_uri(place / REAL, size), len(found), damaged)


def _data_uri(path: Path, size: int) -> str | None:
    """The picture as JPEG; None where there is none, or half of one."""
    buffer = io.BytesIO()
    try:
        reduced = decode(path.read_bytes()).image.convert("RGB")
    except Exception:  # Pillow's decoders raise many kinds for broken files
        return None
    reduced.thumbnail((size, size), Image.Resampling.LANCZOS)
    reduced.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
