"""What directions in w do: the images of some seeds, step by step along each."""

# K directions, N seeds, S steps, H W C image

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dualgan.networks import Generator
from dualgan.networks.mapping import with_mapping
from dualgan.pictures.figures import COLOURS, MAX_ROWS, Panel, image_table
from dualgan.studies.directions import Directions
from dualgan.studies.styles import images_of_styles, in_ranges, styles_of

MOST_STEPS = 33
UNMOVED = COLOURS[1]


def steps_of(strength: float, steps: int) -> list[float]:
    """Strengths from -strength to strength, evenly; the one in the middle is 0.

    Raises:
        ValueError: The strength is not positive, or the number of steps is even or out of range.
    """
    check_strength(strength)
    if steps % 2 == 0 or not 3 <= steps <= MOST_STEPS:
        raise ValueError(
            f"steps {steps} does not fit: give an odd number from 3 to {MOST_STEPS}; the middle one moves nothing"
        )
    return [strength * (2 * k / (steps - 1) - 1) for k in range(steps)]


def check_strength(strength: float) -> None:
    """Refuse a strength that moves nothing, or nowhere.

    Raises:
        ValueError: It is not positive.
    """
    if not 0 < strength < float("inf"):
        raise ValueError(f"strength {strength:g} is out of range: give how many standard deviations, such as 3")


def walk_directions(
    generator: Generator,
    directions: Directions,
    seeds: Sequence[int],
    strengths: Sequence[float],
    *,
    label: int | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
) -> np.ndarray:
    """Generate the images of some seeds along every direction, with constant noise: uint8 [K, N, S, H, W, C].

    Args:
        generator: That of the directions; runs where its parameters are.
        directions: K of them.
        seeds: N of them, 1 to 32 / K.
        strengths: S of them, in standard deviations of w.
        label: Class of all; by default each seed draws its own where the generator has classes.
        truncation_psi: 1 for none.
        truncation_cutoff: How many layers are truncated, the first ones; all by default.

    Raises:
        ValueError: The directions are another network's, or seeds, label or truncation do not fit.
    """
    check_rows(len(directions.names), seeds)
    directions.check_fits(generator)
    mapped, psi, cutoff = with_mapping(generator, "a walk"), truncation_psi, truncation_cutoff
    start = styles_of(mapped, seeds, label=label, truncation_psi=psi, truncation_cutoff=cutoff)
    ws = torch.stack([_moved(directions, k, start, strengths) for k in range(len(directions.names))])
    images = images_of_styles(mapped, ws.flatten(0, 2), "Walking")
    return images.reshape(*ws.shape[:3], *images.shape[1:])


def _moved(directions: Directions, k: int, start: Tensor, strengths: Sequence[float]) -> Tensor:
    """Styles [N, num_ws, D] moved along one direction: [N, S, num_ws, D]."""
    along = torch.zeros(len(strengths), len(directions.names))
    along[:, k] = torch.tensor(strengths)
    return torch.stack([directions.moved(start, step) for step in along], dim=1)


def check_rows(num: int, seeds: Sequence[int]) -> None:
    """Refuse more rows than a figure has room for.

    Raises:
        ValueError: There are no seeds, or too many.
    """
    if not seeds or num * len(seeds) > MAX_ROWS:
        raise ValueError(
            f"{num} directions of {len(seeds)} seeds: a figure has room for {MAX_ROWS} rows, one for each seed of each "
            f"direction; give fewer"
        )


def draw_directions(
    images: np.ndarray, directions: Directions, seeds: Sequence[int], strengths: Sequence[float]
) -> Figure:
    """A row per direction and seed; images that are not moved are in blue frames.

    Args:
        images: uint8 [K, N, S, H, W, C] of `walk_directions`.
        directions: K of them.
        seeds: N of them.
        strengths: S of them.
    """
    of_rows = images.reshape(-1, *images.shape[2:])
    rows = [[_panel(*moved) for moved in zip(row, strengths, strict=True)] for row in of_rows]
    names = [f"{name}\nseed {seed}" for name in directions.names for seed in seeds]
    title = f"standard deviations of w along each direction\nin layers {in_ranges(directions.layers)}"
    return image_table(rows, title, names)


def _panel(image: np.ndarray, strength: float) -> Panel:
    return Panel(image, f"{strength:+.3g}") if strength else Panel(image, "0", UNMOVED, 2)
