"""Colour transforms of ADA as affine maps of a pixel's colour.

Source: Karras et al., NeurIPS 2020, appendix B and Fig. 8. Shapes: N images; matrices [N, 4, 4] on (red, green, blue,
1).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dualgan.augment.draws import Draws

BRIGHTNESS_STD, CONTRAST_STD, SATURATION_STD = 0.2, 0.5, 1.0


def brightness(draws: Draws) -> Tensor:
    """Add the same to all channels."""
    matrix = _identity(draws)
    matrix[:, :3, 3] = (draws.normal() * BRIGHTNESS_STD)[:, None]
    return matrix


def contrast(draws: Draws) -> Tensor:
    """Multiply all channels by the same."""
    matrix = _identity(draws)
    matrix[:, :3, :3] *= torch.exp2(draws.normal() * CONTRAST_STD)[:, None, None]
    return matrix


def lumaflip(draws: Draws) -> Tensor:
    """Exchange light and dark and keep hue and saturation, or not."""
    return _identity(draws) - 2 * (draws.uniform() * 2).floor()[:, None, None] * _gray_axis(draws)


def hue(draws: Draws) -> Tensor:
    """Turn colours about the gray axis by any angle."""
    from kornia.geometry.conversions import axis_angle_to_rotation_matrix

    angle = (draws.uniform() * 2 - 1) * math.pi
    matrix = _identity(draws)
    matrix[:, :3, :3] = axis_angle_to_rotation_matrix(angle[:, None].expand(-1, 3) / math.sqrt(3))
    return matrix


def saturation(draws: Draws) -> Tensor:
    """Multiply the distance from the gray axis."""
    gray = _gray_axis(draws)
    kept = gray.clone()
    kept[3, 3].fill_(1)
    return kept + (_identity(draws) - kept) * torch.exp2(draws.normal() * SATURATION_STD)[:, None, None]


def _identity(draws: Draws) -> Tensor:
    return torch.eye(4, dtype=draws.like.dtype, device=draws.like.device).repeat(len(draws.like), 1, 1)


def _gray_axis(draws: Draws) -> Tensor:
    """The projection [4, 4] onto gray."""
    projection = torch.zeros(4, 4, dtype=draws.like.dtype, device=draws.like.device)
    projection[:3, :3].fill_(1 / 3)  # an assignment would make the device wait for a number of the host
    return projection


Coloured = Callable[[Draws], Tensor]

# In the order of Fig. 8; those after the third leave gray images as they are.
COLOUR: tuple[tuple[str, Coloured], ...] = (
    ("brightness", brightness), ("contrast", contrast), ("lumaflip", lumaflip), ("hue", hue),
    ("saturation", saturation),
)  # fmt: skip
OF_COLOURS_ONLY = ("hue", "saturation")


def recolour(images: Tensor, draws: Draws, p: Tensor, strengths: dict[str, float]) -> Tensor:
    """Images [N, C, R, R], C = 1 or 3, with all colour transforms in a row; those that none happens to, as they are.

    Args:
        images: In [-1, 1].
        draws: Random numbers of the images.
        p: Strength of the augmentation, a scalar from 0 to 1.
        strengths: Factor on p of each transform by name; those that are missing do not happen.
    """
    channels = images.shape[1]
    chosen = [(name, make) for name, make in COLOUR if name in strengths]
    if channels == 1:
        chosen = [(name, make) for name, make in chosen if name not in OF_COLOURS_ONLY]
    neutral = _identity(draws)
    matrix, changed = neutral, torch.zeros_like(draws.like, dtype=torch.bool)
    for name, make in chosen:
        made, happens = make(draws), draws.happens((strengths[name] * p).clamp(0, 1))
        matrix = torch.where(happens[:, None, None], made, neutral) @ matrix
        changed = changed | happens
    # a gray pixel is one of three equal channels, of which the mean is kept
    colours = images.expand(-1, 3, -1, -1).flatten(2)
    recoloured = (matrix[:, :3, :3] @ colours + matrix[:, :3, 3:]).view(len(images), 3, *images.shape[2:])
    if channels == 1:
        recoloured = recoloured.mean(dim=1, keepdim=True)
    return torch.where(changed[:, None, None, None], recoloured, images)
