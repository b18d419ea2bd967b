"""Sheets of samples that nobody has chosen: the images of consecutive seeds."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dualgan.networks import Generator
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
    label: int | None = None,
) -> np.ndarray:
    """Images of the seeds `seed`, `seed` + 1, ... in reading order, without anything between them.

    Args:
        generator: Runs where its parameters are.
        rows: Images in a column, 1 or more.
        columns: Images in a row, 1 or more.
        seed: The first seed, 0 or more.
        truncation_psi: 1 for none.
        label: Class of all images; by default each seed draws one where the generator has classes.

    Returns:
        uint8 [rows * R, columns * R, C].

    Raises:
        ValueError: A sheet without or with too many images, a negative seed, or a class that does not exist.
    """
    _check_sheet(rows, columns, seed)
    return grid(_images(generator, range(seed, seed + rows * columns), truncation_psi, label), columns)


def truncation_sheet(
    generator: Generator,
    psis: Sequence[float],
    columns: int = 8,
    *,
    seed: int = 0,
    label: int | None = None,
) -> np.ndarray:
    """The same seeds in every row, a row per truncation: from the mean image at 0 to no truncation at 1.

    Returns uint8 [len(psis) * R, columns * R, C]; arguments and errors are those of `sample_sheet`.
    """
    _check_sheet(len(psis), columns, seed)
    seeds = range(seed, seed + columns)
    return grid(torch.cat([_images(generator, seeds, psi, label) for psi in psis]), columns)


def _images(generator: Generator, seeds: Sequence[int], truncation_psi: float, label: int | None) -> Tensor:
    labels = None if label is None else torch.full((len(seeds),), label)
    batches = generate(generator, seeds, labels=labels, truncation_psi=truncation_psi, batch_size=BATCH)
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
