"""Geometric transforms of ADA as matrices from output to input positions.

Source: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, appendix B, Fig. 8.
Positions are in pixels from the image's centre, x to the right and y down. Shapes: N images; matrices [N, 3, 3].
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dualgan.augment.draws import Draws

SCALE_STD, SHIFT_STD, MAX_SHIFT = 0.2, 0.125, 0.125


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Stretch by x and y, [N] each."""
    return _rows([[x, 0, 0], [0, y, 0], [0, 0, 1]], x)


def rotation(angle: Tensor) -> Tensor:
    """Turn by an angle [N] in radians, from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return _rows([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], angle)


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Move by x and y pixels, [N] each."""
    return _rows([[1, 0, x], [0, 1, y], [0, 0, 1]], x)


def _rows(rows: list[list[Tensor | float]], like: Tensor) -> Tensor:
    filled = [[torch.full_like(like, e) if not isinstance(e, Tensor) else e for e in row] for row in rows]
    return torch.stack([torch.stack(row, dim=-1) for row in filled], dim=-2)


# Each takes draws and the width in pixels, and returns the inverse of what it does to an image.
def xflip(draws: Draws, width: int) -> Tensor:
    """Mirror, or not."""
    sign = 1 - 2 * (draws.uniform() * 2).floor()
    return scaling(sign, torch.ones_like(sign))


def rotate90(draws: Draws, width: int) -> Tensor:
    """Turn by 0, 90, 180 or 270 degrees."""
    return rotation((draws.uniform() * 4).floor() * (math.pi / 2))


def xint(draws: Draws, width: int) -> Tensor:
    """Shift by whole pixels, up to an eighth of the width."""
    x, y = (((draws.uniform() * 2 - 1) * (MAX_SHIFT * width)).round() for _ in range(2))
    return translation(-x, -y)


def scale(draws: Draws, width: int) -> Tensor:
    """Grow or shrink."""
    inverse = torch.exp2(-draws.normal() * SCALE_STD)
    return scaling(inverse, inverse)


def rotate(draws: Draws, width: int) -> Tensor:
    """Turn by any angle."""
    return rotation((draws.uniform() * 2 - 1) * math.pi)


def aniso(draws: Draws, width: int) -> Tensor:
    """Stretch along x and shrink along y by as much, or the reverse."""
    inverse = torch.exp2(-draws.normal() * SCALE_STD)
    return scaling(inverse, 1 / inverse)


def xfrac(draws: Draws, width: int) -> Tensor:
    """Shift by any distance."""
    x, y = (draws.normal() * (SHIFT_STD * width) for _ in range(2))
    return translation(-x, -y)


Geometric = Callable[[Draws, int], Tensor]

# In the order of Fig. 8. A rotation comes before and after the stretch, so that the stretch has any direction.
GEOMETRIC: tuple[tuple[str, Geometric], ...] = (
    ("xflip", xflip), ("rotate90", rotate90), ("xint", xint), ("scale", scale), ("rotate", rotate), ("aniso", aniso),
    ("rotate", rotate), ("xfrac", xfrac),
)  # fmt: skip


def random_inverse(draws: Draws, width: int, p: Tensor, strengths: dict[str, float]) -> tuple[Tensor, Tensor]:
    """All transforms in a row: inverse matrices [N, 3, 3], and which images are transformed at all, bool [N].

    Args:
        draws: Random numbers of the images.
        width: Width of the images in pixels.
        p: Strength of the augmentation, a scalar from 0 to 1.
        strengths: Factor on p of each transform by name; those that are missing do not happen.
    """
    neutral = torch.eye(3, dtype=draws.like.dtype, device=draws.like.device)
    inverse, moved = neutral.expand(len(draws.like), 3, 3), torch.zeros_like(draws.like, dtype=torch.bool)
    for name, transform in GEOMETRIC:
        if name not in strengths:
            continue
        probability = (strengths[name] * p).clamp(0, 1)
        if name == "rotate":
            # P(pre or post rotation) = p, appendix B
            probability = 1 - (1 - probability).sqrt()
        matrix, happens = transform(draws, width), draws.happens(probability)
        inverse = inverse @ torch.where(happens[:, None, None], matrix, neutral)
        moved = moved | happens
    return inverse, moved
