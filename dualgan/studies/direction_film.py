"""Films of directions in w: images move along each direction, back, and as far the other way, then along the next."""

# K directions, P keyframes, N images, L layers, D width of w, T frames

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dualgan.studies.direction_sheet import check_strength
from dualgan.studies.directions import Directions
from dualgan.studies.films import Cell, Timeline, noise_walk
from dualgan.studies.walks import Walk

SWING = (0.0, 1.0, 0.0, -1.0)  # parts of the strength at the keyframes of a direction


def chosen_directions(directions: Directions, names: Sequence[str] | None, source: str) -> list[int]:
    """Numbers of some directions, of all by default.

    Raises:
        ValueError: One is not among them, or was named twice; `source` says where they are from.
    """
    for k, name in enumerate(names or ()):
        if name not in directions.names:
            raise ValueError(f"direction {name!r} is not in {source}: expected {', '.join(directions.names)}")
        if name in (names or ())[:k]:
            raise ValueError(f"direction {name!r} was named twice: name each once")
    return [directions.names.index(name) for name in (directions.names if names is None else names)]


def swings(directions: Directions, chosen: Sequence[int], strength: float, closed: bool) -> Tensor:
    """Strengths at the keyframes, [P, K]: those of the chosen directions one after another; `closed` ends at 0.

    Raises:
        ValueError: The strength is not positive.
    """
    check_strength(strength)
    along = torch.eye(len(directions.names))[list(chosen)]
    rows = (strength * torch.tensor(SWING)[:, None] * along[:, None]).flatten(0, 1)
    return torch.cat([rows, rows[:1]]) if closed else rows


def moving_cells(
    styles: Tensor, directions: Directions, rows: Tensor, noise: Mapping[str, Tensor] | None = None
) -> list[Cell]:
    """A cell for each of some images, which moves along directions.

    Args:
        styles: Of the images, [N, L, D].
        directions: In their w.
        rows: Strengths at the keyframes, [P, K].
        noise: Noise maps of the images by the names of their layers, [N, R, R], which stay; by default the generator's
            own.
    """
    cells = []
    for k in range(len(styles)):
        still = {name: noise_walk(maps[k].expand(len(rows), -1, -1)) for name, maps in (noise or {}).items()}
        cells.append(Cell(_walk_along(styles[k : k + 1], directions, rows), still))
    return cells


def _walk_along(start: Tensor, directions: Directions, rows: Tensor) -> Walk:
    """The path of styles [1, L, D] through strengths."""
    return Walk(rows, True, lambda strengths: directions.moved(start.expand(len(strengths), -1, -1), strengths))


def strength_captions(directions: Directions, chosen: Sequence[int], rows: Tensor, when: Timeline) -> list[str]:
    """Along which direction the images are moved in each frame, and how far."""
    shown = torch.lerp(rows[when.segments], rows[when.segments + 1], when.fractions[:, None].to(rows))
    numbers = [chosen[segment // len(SWING)] for segment in when.segments.tolist()]
    named = zip(numbers, shown.tolist(), strict=True)
    return [f"{directions.names[k]} {_signed(row[k])} standard deviations of w" for k, row in named]


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # which has no negative zero
