"""Figures of attention maps: samples with dots, and where the generator looks from each dot (main paper, Fig. 5)."""

# N samples, P positions, H W C image, S footprint

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dualgan.networks import Generator, Latents
from dualgan.networks.attention import SelfAttention
from dualgan.networks.attention.base import Position
from dualgan.networks.sampling import drawn_classes, evaluating, generate, latents
from dualgan.pictures.figures import COLOURS as SAFE
from dualgan.pictures.figures import DPI, MAX_ROWS, as_rgb, frame

if TYPE_CHECKING:  # matplotlib takes half a second to import: only who draws waits for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Fraction = tuple[float, float]  # row and column as parts of the image's height and width, in [0, 1)

DEFAULT_POSITIONS: tuple[Fraction, ...] = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.7))
_BLACK, _BLUE, _GREEN, _RED, _PINK, _ORANGE = SAFE
COLOURS = (_RED, _BLUE, _GREEN, _ORANGE, _PINK, "#56b4e9", _BLACK, "#999999")  # of positions; safe as well
PANEL = 2.0  # inches


@dataclass(frozen=True)
class AttentionMaps:
    """Samples and their maps.

    Attributes:
        images: uint8 [N, H, W, C].
        maps: Not negative, [N, P, S, S] for a footprint and otherwise [N, P, h, w] over the whole image.
        pixels: The positions (row, column) as pixels of the feature map at `resolution`.
        resolution: Rows and columns of the feature map that attention works on.
        footprint: S, or None where the maps cover the whole image.
        attention: Name of the attention.
    """

    images: np.ndarray
    maps: np.ndarray
    pixels: list[Position]
    resolution: int
    footprint: int | None
    attention: str

    def extent(self, p: int | None = None) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the feature map, or of the footprint around position `p` (Eq. 4), in pixels.

        Whole numbers are the middles of pixels. A footprint may reach beyond the feature map.
        """
        row, column, size = 0, 0, self.resolution
        if p is not None:
            assert self.footprint is not None
            row, column = (place - self.footprint // 2 for place in self.pixels[p])
            size = self.footprint
        return column - 0.5, column + size - 0.5, row + size - 0.5, row - 0.5


def mapped_attention(generator: Generator) -> SelfAttention:
    """The generator's attention.

    Raises:
        ValueError: It has none, or one without maps.
    """
    found = next((module for module in generator.modules() if isinstance(module, SelfAttention)), None)
    if found is None:
        raise ValueError(
            "this generator has no attention, so there is no map to draw: train one that has, for instance with "
            "--model.generator.attention SAN --model.generator.attention_resolution 16"
        )
    if not found.has_map:
        raise ValueError(
            f"{type(found).__name__} has no attention map, its filter is the same at all positions: draw a generator "
            f"that was trained with --model.generator.attention SAN, SAGAN or VT"
        )
    return found


def check_positions(positions: Sequence[Fraction]) -> None:
    """Refuse positions that cannot be drawn.

    Raises:
        ValueError: There is none, more than there are colours, or one that lies outside of the image.
    """
    if not 1 <= len(positions) <= len(COLOURS):
        raise ValueError(f"{len(positions)} positions: a figure shows 1 to {len(COLOURS)}, one colour each")
    for row, column in positions:
        if not (0 <= row < 1 and 0 <= column < 1):
            raise ValueError(
                f"position {row:g},{column:g} lies outside of the image: expected row,column as parts of its height "
                f"and width, from 0 to below 1, such as 0.25,0.5"
            )


def compute_maps(
    generator: Generator,
    seeds: Sequence[int],
    positions: Sequence[Fraction] = DEFAULT_POSITIONS,
    *,
    labels: Tensor | None = None,
    truncation_psi: float = 1.0,
) -> AttentionMaps:
    """Samples of the seeds with constant noise, and where the attention looks from the positions.

    Args:
        generator: Has attention with maps (SAN, SAGAN or VT).
        seeds: One per sample, at least one.
        positions: Pairs (row, column) as parts of the image's height and width, in [0, 1).
        labels: Class indices int64 [N]; None draws them from the seeds where the generator has classes.
        truncation_psi: 1 for none.

    Raises:
        ValueError: The generator has no maps, there is no seed, or a position or label does not fit.
    """
    attention = mapped_attention(generator)
    check_positions(positions)
    if not seeds:
        raise ValueError("no seeds: give at least one")
    size = generator.attention_resolution
    assert size is not None
    pixels = [(int(row * size), int(column * size)) for row, column in positions]
    if labels is None:
        labels = drawn_classes(generator, seeds)
    images = torch.cat(list(generate(generator, seeds, labels=labels, truncation_psi=truncation_psi)))
    with evaluating(generator), torch.inference_mode():
        z = latents(seeds, generator.z_dim).to(images.device)
        classes = None if labels is None else labels.to(images.device)
        styles = generator.styles(Latents(z), classes, truncation_psi)
        maps = generator.attention_maps(styles, pixels).float()
    return AttentionMaps(
        images.cpu().numpy(), maps.cpu().numpy(), pixels, size, attention.footprint, type(attention).__name__
    )


def draw_attention(
    generator: Generator,
    seeds: Sequence[int],
    positions: Sequence[Fraction] = DEFAULT_POSITIONS,
    *,
    labels: Tensor | None = None,
    truncation_psi: float = 1.0,
) -> "Figure":
    """One row per seed: the sample with a dot per position, then the map of each dot.

    A footprint's map stands alone, and a box on the sample shows its extent; dashed lines are the feature map's
    border, beyond which it is reflected. Other maps lie over the sample. Every map is drawn from its smallest value
    (dark) to its largest (bright), which are written below it. Arguments and errors are those of `compute_maps`.

    Raises:
        ValueError: There are more than 32 seeds.
    """
    if len(seeds) > MAX_ROWS:
        raise ValueError(f"{len(seeds)} seeds in one figure: it has room for {MAX_ROWS}, draw several")
    return draw(compute_maps(generator, seeds, positions, labels=labels, truncation_psi=truncation_psi), seeds)


def draw(maps: AttentionMaps, seeds: Sequence[int]) -> "Figure":
    """Figure of samples and maps that are computed already; see `draw_attention`."""
    from matplotlib.figure import Figure

    rows, columns = len(maps.images), 1 + len(maps.pixels)
    dpi = max(DPI, math.ceil(maps.images.shape[1] / PANEL))  # no pixel of a large image is lost
    figure = Figure(figsize=(columns * (PANEL + 0.2), rows * (PANEL + 0.5) + 0.3), dpi=dpi, layout="constrained")
    area = "" if maps.footprint is None else f", footprint {maps.footprint} x {maps.footprint}"
    figure.suptitle(f"{maps.attention} at {maps.resolution} x {maps.resolution}{area}", fontsize=10)
    panels = figure.subplots(rows, columns, squeeze=False)
    for n, seed in enumerate(seeds):
        _draw_sample(panels[n, 0], maps, n, f"seed {seed}")
        for p in range(len(maps.pixels)):
            _draw_map(panels[n, 1 + p], maps, n, p)
    return figure


def _draw_sample(axes: "Axes", maps: AttentionMaps, n: int, title: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.imshow(as_rgb(maps.images[n]), extent=maps.extent())
    axes.autoscale(False)  # boxes reach beyond the image
    for p in range(len(maps.pixels)):
        if maps.footprint is not None:
            _draw_box(axes, maps, p)
        _draw_dot(axes, maps, p)
    frame(axes, "#808080", 0.5)


def _draw_map(axes: "Axes", maps: AttentionMaps, n: int, p: int) -> None:
    values, (row, column) = maps.maps[n, p], maps.pixels[p]
    axes.set_title(f"row {row}, column {column}", fontsize=9)
    if maps.footprint is None:
        gray = as_rgb(maps.images[n]).mean(axis=2)
        axes.imshow(gray, cmap="gray", vmin=0, vmax=255, extent=maps.extent())
        axes.imshow(values, cmap="magma", alpha=0.6, interpolation="bilinear", extent=maps.extent())
    else:
        axes.imshow(values, cmap="magma", extent=maps.extent(p))
        _draw_border(axes, maps, p)
    _draw_dot(axes, maps, p)
    axes.set_xlabel(f"{values.min():.3g} to {values.max():.3g}", fontsize=8)
    frame(axes, COLOURS[p], 2)


def _draw_box(axes: "Axes", maps: AttentionMaps, p: int) -> None:
    """Extent of a footprint on the image; what lies beyond the border is cut off."""
    from matplotlib.patches import Rectangle

    left, right, bottom, top = maps.extent(p)
    for colour, width in (("white", 3.5), (COLOURS[p], 1.5)):  # the white rim shows on an image of the same colour
        box = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=width)
        axes.add_patch(box)


def _draw_border(axes: "Axes", maps: AttentionMaps, p: int) -> None:
    """Where the feature map ends inside of a footprint."""
    left, right, bottom, top = maps.extent(p)
    for first, last, draw_line in ((top, bottom, axes.axhline), (left, right, axes.axvline)):
        for edge in (-0.5, maps.resolution - 0.5):
            if first < edge < last:
                draw_line(edge, color="white", linestyle="--", linewidth=1)


def _draw_dot(axes: "Axes", maps: AttentionMaps, p: int) -> None:
    row, column = maps.pixels[p]
    axes.plot(column, row, "o", markersize=6, color=COLOURS[p], markeredgecolor="white", markeredgewidth=1)
