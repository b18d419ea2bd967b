"""Sheets of samples that nobody has chosen: the images of consecutive seeds."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dualgan.networks import Generator
from dualgan.networks.base import NoiseMode
from dualgan.networks.classes import existing_classes, same_class
from dualgan.networks.sampling import generate
from dualgan.pictures.grids import grid
from dualgan.runtime.progress import progress

MAX_IMAGES = 10_000
BATCH = 32


def sample_sheet(
    generator: Generator,
    rows: int = 8,
    columns: int = 8,
    *,
    seed: int = 0,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
    noise_mode: NoiseMode = "const",
    label: int | None = None,
) -> np.ndarray:
    """Images of the seeds `seed`, `seed` + 1, ... in reading order, without anything between them.

    Args:
        generator: Runs where its parameters are.
        rows: Images in a column, 1 or more.
        columns: Images in a row, 1 or more.
        seed: The first seed, 0 or more.
        truncation_psi: 1 for none.
        truncation_cutoff: How many layers are truncated, the first ones; all by default.
        noise_mode: "const", "random" or "none".
        label: Class of all images; by default each seed draws one where the generator has classes.

    Returns:
        uint8 [rows * R, columns * R, C].

    Raises:
        ValueError: A sheet without or with too many images, a negative seed, a class that does not exist, or a
            truncation that the generator does not have.
    """
    _check_sheet(rows, columns, seed)
    seeds = range(seed, seed + rows * columns)
    return grid(_images(generator, seeds, truncation_psi, truncation_cutoff, noise_mode, label), columns)


def truncation_sheet(
    generator: Generator,
    psis: Sequence[float],
    columns: int = 8,
    *,
    seed: int = 0,
    truncation_cutoff: int | None = None,
    noise_mode: NoiseMode = "const",
    label: int | None = None,
) -> np.ndarray:
    """The same seeds in every row, a row per truncation: from the mean image at 0 to no truncation at 1.

    With classes the mean image is that of each seed's class.

    Returns uint8 [len(psis) * R, columns * R, C]; arguments and errors are those of `sample_sheet`.
    """
    _check_sheet(len(psis), columns, seed)
    seeds = range(seed, seed + columns)
    rows = [_images(generator, seeds, psi, truncation_cutoff, noise_mode, label) for psi in psis]
    return grid(torch.cat(rows), columns)


def class_sheet(
    generator: Generator,
    columns: int = 8,
    *,
    seed: int = 0,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
    noise_mode: NoiseMode = "const",
) -> np.ndarray:
    """The same seeds in every row, a row per class that had images as far as that is known: `existing_classes`.

    Returns uint8 [classes * R, columns * R, C]; arguments and errors are those of `sample_sheet`.

    Raises:
        ValueError: The generator has no classes, or as for `sample_sheet`.
    """
    classes = existing_classes(generator)
    if not classes:
        raise ValueError(f"a row per class needs classes, and this {type(generator).__name__} has none")
    _check_sheet(len(classes), columns, seed)
    seeds = range(seed, seed + columns)
    rows = [_images(generator, seeds, truncation_psi, truncation_cutoff, noise_mode, number) for number in classes]
    return grid(torch.cat(rows), columns)


def _images(
    generator: Generator,
    seeds: Sequence[int],
    psi: float,
    cutoff: int | None,
    noise_mode: NoiseMode,
    label: int | None,
) -> Tensor:
    batches = generate(
        generator,
        seeds,
        labels=same_class(label, len(seeds)),
        truncation_psi=psi,
        truncation_cutoff=cutoff,
        noise_mode=noise_mode,
        batch_size=BATCH,
    )
    return torch.cat([batch.cpu() for batch in progress(batches, "Generating", -(-len(seeds) // BATCH), "batches")])


def _check_sheet(rows: int, columns: int, seed: int) -> None:
    for name, value, least in (("rows", rows, 1), ("columns", columns, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} {value} is too small for a sheet of samples: give {least} or more")
    if rows * columns > MAX_IMAGES:
        raise ValueError(
            f"{rows} rows of {columns} images are more than the {MAX_IMAGES} that one sheet takes: make several, "
            f"each from a seed of its own"
        )
