"""Mean power spectra of real and generated images: what upsampling leaves behind shows as peaks and as a fall.

After Durall et al., "Watch your Up-Convolution", CVPR 2020, whose curve is the mean over directions, and Karras et al.,
"Alias-Free Generative Adversarial Networks", NeurIPS 2021, whose window it is.
"""

# N images, C channels, R resolution

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dualgan.data.base import ImageDataModule
from dualgan.evaluation.images import BATCH_SIZE, Images, SetImages, images_of
from dualgan.networks import Generator
from dualgan.pictures.figures import COLOURS, DPI
from dualgan.pictures.pixels import to_float
from dualgan.runtime.progress import Progress
from dualgan.studies.neighbors import check_data

USUAL = 5000  # images of a kind where no number is given
KAISER = 8.0
FLOOR = 1e-7  # power far below what rounding to 256 values leaves, 5e-6
LEAST_RANGE = 1.0  # dB of the colours of differences: smaller ones are noise
PANEL = 3.2  # inches


@dataclass(frozen=True)
class Spectra:
    """Mean power spectra of as many real as generated images, whose frequency 0 is in the middle.

    Attributes:
        real: Power, float64 [R, R]: white noise has its variance everywhere.
        fake: The same of generated images.
        num: Images of a kind.
    """

    real: np.ndarray
    fake: np.ndarray
    num: int

    @property
    def difference(self) -> np.ndarray:
        """How much more power generated images have, dB [R, R]."""
        found: np.ndarray = decibels(self.fake) - decibels(self.real)
        return found

    @property
    def distance(self) -> float:
        """Root mean square difference over all frequencies, dB: the log-spectral distance."""
        return float(np.sqrt(np.square(self.difference).mean()))

    @property
    def high(self) -> float:
        """Mean difference of the upper half of frequencies, dB."""
        return float(self.difference[radii(len(self.real)) >= len(self.real) / 4].mean())

    def as_dict(self) -> dict[str, Any]:
        """Curves and numbers as plain data."""
        return {
            "num": self.num,
            "log_spectral_distance_db": self.distance,
            "high_frequencies_db": self.high,
            "curves_db": {name: decibels(curve(power)).tolist() for name, power in self.both.items()},
        }

    @property
    def both(self) -> dict[str, np.ndarray]:
        """The spectra by their names."""
        return {"real": self.real, "generated": self.fake}


def study_spectra(
    generator: Generator,
    data: ImageDataModule,
    num: int | None = None,
    *,
    seed: int = 0,
    truncation_psi: float = 1.0,
) -> Spectra:
    """Mean spectra of real and of generated images, in one pass over each that holds few of them at a time.

    Args:
        generator: Runs where its parameters are.
        data: Real images; `data.reference` says which of them metrics use.
        num: Images of a kind, 2 or more; None takes all real ones, but not more than 5,000, and as many generated ones.
        seed: Of the latents, 0 to 4095.
        truncation_psi: 1 for none.

    Raises:
        ValueError: The data, the number, the seed or the truncation does not fit.
    """
    check_num(num)
    check_data(data, generator)
    reference = data.reference_set()
    count = min(reference.dataset_size, USUAL) if num is None else num
    if count > reference.dataset_size:
        raise ValueError(f"num {num} is above the {reference.dataset_size} real images: give at most as many")
    device = next(generator.parameters()).device
    sets: list[Images] = [
        SetImages(reference, count),
        images_of(generator, reference, count, seed, truncation_psi, device=device),
    ]
    with Progress("Looking", 2 * count) as shown:
        real, fake = (mean_spectrum(_counted(images, shown)) for images in sets)
    return Spectra(real, fake, count)


def check_num(num: int | None) -> None:
    """Refuse a number of images that gives no mean.

    Raises:
        ValueError: It is below 2.
    """
    if num is not None and num < 2:
        raise ValueError(f"num {num} is too small: give 2 images of a kind or more")


def _counted(images: Images, shown: Progress) -> Iterable[Tensor]:
    starts = range(0, images.count, BATCH_SIZE)
    for batch in images.batches([range(k, min(k + BATCH_SIZE, images.count)) for k in starts]):
        yield batch
        shown.update(len(batch))


def mean_spectrum(batches: Iterable[Tensor]) -> np.ndarray:
    """Mean power spectrum of uint8 images [N, R, R, C] in batches: float64 [R, R], frequency 0 in the middle."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for batch in batches:
        powers = power_spectra(to_float(batch.cpu()))
        total, count = total + powers.sum(dim=0, dtype=torch.float64), count + len(powers)
    return np.fft.fftshift((total / count).numpy())


# The periodogram: P(u, v) = |sum_xy h(x, y) (I(x, y) - mean I) exp(-2 pi i (u x + v y) / R)|^2 / sum h^2
def power_spectra(images: Tensor) -> Tensor:
    """Power at every frequency, mean over channels, of images [N, C, R, R] in [-1, 1]: [N, R, R], frequency 0 first.

    The window h, which keeps an image's borders from making a cross, is Kaiser's in both directions.
    """
    line = torch.kaiser_window(images.shape[-1], periodic=True, beta=KAISER)
    window = torch.outer(line, line)
    deviations = images - images.mean(dim=(2, 3), keepdim=True)
    amplitudes: Tensor = torch.fft.fft2(deviations * window)
    return amplitudes.abs().square().mean(dim=1) / window.square().sum()


def decibels(power: np.ndarray) -> np.ndarray:
    """10 log10 of a power, not below `FLOOR`."""
    found: np.ndarray = 10 * np.log10(np.maximum(power, FLOOR))
    return found


def radii(resolution: int) -> np.ndarray:
    """Distance of every frequency from 0, in cycles per image: float64 [R, R], frequency 0 in the middle."""
    line = np.arange(resolution) - resolution // 2
    found: np.ndarray = np.hypot(line[:, None], line[None, :])
    return found


def curve(power: np.ndarray) -> np.ndarray:
    """Mean power [R, R] over all directions at 0, 1, ..., R / 2 cycles per image."""
    rings = np.rint(radii(len(power))).astype(int)
    whole = rings <= len(power) // 2  # beyond, in the corners, there are not all directions
    means: np.ndarray = np.bincount(rings[whole], power[whole]) / np.bincount(rings[whole])
    return means


def draw_spectra(studies: dict[str, Spectra]) -> Figure:
    """A row per network: spectra of real and generated images, their difference, and the means over directions."""
    rows = len(studies)
    figure = Figure(figsize=(4 * PANEL + 0.8, rows * (PANEL * 0.85 + 0.3) + 0.2), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, 4, squeeze=False)
    for (name, study), row in zip(studies.items(), panels, strict=True):
        levels = [decibels(power) for power in study.both.values()]
        limits = min(map(np.min, levels)), max(map(np.max, levels))
        for axes, kind, level in zip(row, study.both, levels, strict=False):
            _draw_map(axes, level, f"{kind}, dB", "cividis", limits)
        most = max(LEAST_RANGE, float(np.abs(study.difference).max()))
        _draw_map(row[2], study.difference, "generated over real, dB", "PuOr", (-most, most))
        _draw_curves(row[3], study)
        row[0].set_ylabel(f"{name}\n{study.num} images of a kind", fontsize=9)
    return figure


def _draw_map(axes: Axes, values: np.ndarray, title: str, colours: str, limits: tuple[float, float]) -> None:
    half = len(values) / 2
    edges = (-half - 0.5, half - 0.5, half - 0.5, -half - 0.5)
    shown = axes.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], extent=edges, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("cycles per image", fontsize=8)
    axes.tick_params(labelsize=8)
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.colorbar(shown, ax=axes, shrink=0.8).ax.tick_params(labelsize=8)


def _draw_curves(axes: Axes, study: Spectra) -> None:
    for (name, power), colour, line in zip(study.both.items(), COLOURS, ("-", "--"), strict=False):
        axes.plot(decibels(curve(power)), line, color=colour, label=name)
    axes.set_title(f"all directions, dB; distance {study.distance:.1f}", fontsize=9)
    axes.set_xlabel("cycles per image", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8)
