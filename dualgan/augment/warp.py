"""Warp images without aliasing: twice the resolution, bilinear samples, and back.

Source: Karras et al., NeurIPS 2020, appendix B: orthogonal filters (symlet 6), so that an identity stays one; outside
of its border an image goes on as in a mirror. Here as matrix products along x and y: on a CPU several times as fast as
depthwise convolutions, and differentiable any number of times.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.augment.bilinear import sample

# Daubechies, "Ten Lectures on Wavelets", table 6.3: least asymmetric, N = 6
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
TAPS = len(SYM6)
CENTRE = 5  # the tap at the filter's centre: it is nearly, and not quite, symmetric
MARGIN = 3  # pixels beyond the border that the filter on the way back reaches


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is kept must be of use in training too
def enlarging(width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix [width, 2 (width + 2 MARGIN) - 1] from pixels to samples half a pixel apart.

    They begin and end MARGIN pixels beyond the centres of the first and last pixel, which mirror the image.
    """
    filter = torch.tensor(SYM6, dtype=torch.float64).view(1, 1, TAPS)
    beyond = MARGIN + CENTRE // 2 + 1
    units = F.pad(torch.eye(width, dtype=torch.float64)[:, None], (beyond, beyond), mode="reflect")
    full = F.conv_transpose1d(units, filter, stride=2)[:, 0]
    start = 2 * (beyond - MARGIN) + CENTRE
    return full[:, start : start + 2 * (width + 2 * MARGIN) - 1].to(device, dtype)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def reducing(width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix [2 width + 10, width] back from samples half a pixel apart, the first CENTRE of them before the border."""
    filter = torch.tensor(SYM6, dtype=torch.float64).view(1, 1, TAPS)
    units = torch.eye(2 * width + TAPS - 2, dtype=torch.float64)[:, None]
    return F.conv1d(units, filter, stride=2)[:, 0].to(device, dtype)


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Images [N, C, R, R], R at least 8, warped by the inverse [N, 3, 3] of what is to happen to them.

    The matrices are in pixels from the centre.
    """
    width = images.shape[-1]
    up = enlarging(width, images.device, images.dtype)
    down = reducing(width, images.device, images.dtype)
    # where the samples of the result lie, and where they come from
    along = (torch.arange(len(down), device=images.device, dtype=images.dtype) - CENTRE) / 2 - (width - 1) / 2
    y, x = torch.meshgrid(along, along, indexing="ij")
    targets = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3)
    sources = (targets @ inverse[:, :2].transpose(1, 2)).view(len(images), len(down), len(down), 2)
    fine = up.T @ images @ up
    # places count from -1 to 1 between the first and the last sample
    half = (width - 1) / 2 + MARGIN
    sampled = sample(fine, mirrored(sources, (width - 1) / 2, half) / half)
    return down.T @ sampled @ down


def mirrored(positions: Tensor, border: float, half: float) -> Tensor:
    """Positions from the centre that lie beyond `half`, mirrored into the image, whose border is at `border`."""
    folded = ((positions - border) % (4 * border) - 2 * border).abs() - border
    return torch.where(positions.abs() > half, folded, positions)
