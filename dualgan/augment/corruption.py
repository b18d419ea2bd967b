"""ADA's transforms in image space: frequency bands, noise, cutout.

Source: Karras et al., NeurIPS 2020, appendix B.
"""

from functools import lru_cache

import torch
from torch import Tensor

from dualgan.augment.draws import Draws

BAND_STD, NOISE_STD, CUTOUT_SIZE = 1.0, 0.1, 0.5
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
BANDS = 4


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # what is kept must be of use in training too
def band_power(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Share of each octave band, lowest first, in the power of natural images, [4]."""
    return torch.tensor([10.0, 1.0, 1.0, 1.0], dtype=dtype).div(13).to(device)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def octave_bands(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Filters [4, 43] that split a row of pixels into four octaves, lowest first, and add up to one impulse.

    H0(z) = H(z) H(1/z) / 2 and H1(z) = H0(-z) of a symlet, and each lower band by another, twice as long, step.
    """
    low = torch.tensor(SYM2, dtype=torch.float64)
    sign = torch.tensor([1.0, -1.0] * (len(low) // 2), dtype=torch.float64)
    lowpass, highpass = _autocorrelation(low) / 2, _autocorrelation(low * sign) / 2
    bands, rest = [], torch.ones(1, dtype=torch.float64)
    for octave in range(3):
        bands.append(_convolve(rest, _stretched(highpass, 2**octave)))
        rest = _convolve(rest, _stretched(lowpass, 2**octave))
    bands.append(rest)
    longest = len(rest)
    rows = [torch.nn.functional.pad(b, [(longest - len(b)) // 2] * 2) for b in reversed(bands)]
    return torch.stack(rows).to(device, dtype)


def _convolve(first: Tensor, second: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(first[None, None], [len(second) - 1] * 2)
    return torch.nn.functional.conv1d(padded, second.flip(0)[None, None])[0, 0]


def _autocorrelation(filter: Tensor) -> Tensor:
    return _convolve(filter, filter.flip(0))


def _stretched(filter: Tensor, step: int) -> Tensor:
    stretched = filter.new_zeros((len(filter) - 1) * step + 1)
    stretched[::step] = filter
    return stretched


def imgfilter(images: Tensor, draws: Draws, probability: Tensor) -> Tensor:
    """Amplify or damp each of four octaves, at the power of natural images kept; images [N, C, R, R]."""
    from kornia.filters import filter2d_separable

    power = band_power(images.device, images.dtype)
    gains, changed = images.new_ones(len(images), BANDS), torch.zeros_like(draws.like, dtype=torch.bool)
    for band in range(BANDS):
        happens = draws.happens(probability)
        gain = images.new_ones(len(images), BANDS)
        gain[:, band] = torch.where(happens, torch.exp2(draws.normal() * BAND_STD), 1.0)
        # power kept: sum_i power_i gain_i^2 = 1
        gains = gains * gain / (power * gain.square()).sum(dim=1, keepdim=True).sqrt()
        changed = changed | happens
    kernels = gains @ octave_bands(images.device, images.dtype)
    margin = min(kernels.shape[1] // 2, images.shape[-1] - 1)
    kernels = kernels[:, kernels.shape[1] // 2 - margin : kernels.shape[1] // 2 + margin + 1]
    filtered: Tensor = filter2d_separable(images, kernels, kernels, border_type="reflect")
    return torch.where(changed[:, None, None, None], filtered, images)


def noise(images: Tensor, draws: Draws, probability: Tensor) -> Tensor:
    """Add white noise of a random strength to images [N, C, R, R]."""
    happens, sigma = draws.happens(probability), draws.normal().abs() * NOISE_STD
    noisy = images + sigma[:, None, None, None] * torch.randn_like(images)
    return torch.where(happens[:, None, None, None], noisy, images)


def cutout(images: Tensor, draws: Draws, probability: Tensor) -> Tensor:
    """Blank a square of half the width, or what of it lies in the image, of images [N, C, R, R]."""
    happens, x, y = draws.happens(probability), draws.uniform(), draws.uniform()
    centres = (torch.arange(images.shape[-1], device=images.device, dtype=images.dtype) + 0.5) / images.shape[-1]
    columns, rows = ((centres - at[:, None]).abs() < CUTOUT_SIZE / 2 for at in (x, y))
    blank = happens[:, None, None] & rows[:, :, None] & columns[:, None, :]
    return torch.where(blank[:, None], 0.0, images)
