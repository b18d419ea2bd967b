"""Frames of a film of a training: a run's dated pictures, or images of the checkpoints that it has kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from dualgan.networks.classes import same_class
from dualgan.networks.sampling import generate
from dualgan.pictures.films import Frame
from dualgan.pictures.grids import grid
from dualgan.runs.clock import dated
from dualgan.runs.folder import BEST, CHECKPOINTS, LAST
from dualgan.weights.checkpoints import images_seen_in, load_generator

Dated = list[tuple[int, Path]]
"""Files with their times in images seen, the earliest first."""


class Sample(NamedTuple):
    """Which images are made of every checkpoint: of some seeds, of one class or each of its own."""

    seeds: Sequence[int]
    columns: int
    label: int | None = None
    truncation_psi: float = 1.0
    truncation_cutoff: int | None = None


def dated_pictures(run_dir: Path, name: str) -> tuple[Dated, tuple[int, int]]:
    """A run's pictures, and their height and width.

    Args:
        run_dir: The run's folder.
        name: Folder in it, such as "samples".

    Raises:
        ValueError: There are fewer than two, or one is damaged or has another size.
    """
    found = dated(run_dir / name, ".png")
    if len(found) < 2:
        raise ValueError(f"{run_dir / name} has {len(found)} dated pictures: a film needs two or more")
    sizes = [_size(path) for _, path in found]
    for (_, path), size in zip(found, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"{path} has {size[1]} x {size[0]} pixels and {found[0][1]} has {sizes[0][1]} x {sizes[0][0]}: a film "
                f"needs pictures of one size, move the others away"
            )
    return found, sizes[0]


def picture_frames(pictures: Dated) -> Iterator[Frame]:
    """A frame for each picture, with its time."""
    for clock, path in pictures:
        yield Frame(_read(path), _kimg(clock))


def kept_checkpoints(run_dir: Path) -> Dated:
    """The checkpoints of a run, each time once.

    Raises:
        ValueError: There are fewer than two.
    """
    folder = run_dir / CHECKPOINTS
    found = {clock: path for name in (BEST, LAST) if (clock := images_seen_in(path := folder / name)) is not None}
    found |= dict(dated(folder, ".ckpt"))
    if len(found) < 2:
        raise ValueError(
            f"{folder} has checkpoints of {len(found)} times: a film needs two or more. Train with --checkpoints.keep "
            f"NUMBER to keep some, or film the samples"
        )
    return sorted(found.items())


def checkpoint_frames(checkpoints: Dated, device: torch.device, sample: Sample) -> Iterator[Frame]:
    """A frame with the same seeds for each checkpoint, which is read when its frame is asked for.

    Args:
        checkpoints: The files.
        device: Where to run.
        sample: What to make.

    Raises:
        ValueError: A file is damaged, or its images are of another size than those of the first one.
    """
    labels, first = same_class(sample.label, len(sample.seeds)), dict[str, int]()
    for clock, path in checkpoints:
        generator = load_generator(path).to(device)
        for name in ("resolution", "num_channels", "num_classes"):
            here = getattr(generator, name)
            if here != (there := first.setdefault(name, here)):
                raise ValueError(f"{path} has {name} {here} and {checkpoints[0][1]} {there}: they are of two runs")
        images = generate(
            generator, sample.seeds, labels=labels, device=device,
            truncation_psi=sample.truncation_psi, truncation_cutoff=sample.truncation_cutoff,
        )  # fmt: skip
        yield Frame(grid(torch.cat([batch.cpu() for batch in images]), sample.columns), _kimg(clock))


def _kimg(clock: int) -> str:
    return f"{clock / 1000:g} kimg"


def _size(path: Path) -> tuple[int, int]:
    with _readable(path), Image.open(path) as image:
        return image.height, image.width


def _read(path: Path) -> np.ndarray:
    """A picture, uint8 [H, W, 1 or 3]."""
    with _readable(path), Image.open(path) as image:
        array = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    return array[..., None] if array.ndim == 2 else array


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for broken PNG files
        raise ValueError(f"{path} is no whole picture ({error}): move it away") from error
