"""Walks between latents, and where the image jumps on the way: latent discontinuity (FakeCLR's supplement, Fig. 1)."""

# P paths, S images on a path, H W C image

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualgan.files.atomic import replacing
from dualgan.networks import Generator
from dualgan.pictures.figures import COLOURS, DPI, MAX_ROWS, frame, show
from dualgan.pictures.films import save_gif
from dualgan.studies.styles import images_of_styles
from dualgan.studies.walks import LatentSpace, check_neighbours, check_space, walk_of_seeds

THRESHOLD = 0.15  # FakeCLR's supplement, Fig. 1
MAX_STEPS = 256
PANEL, GAP, MARGIN = 1.0, 0.08, 0.35  # inches
JUMP = COLOURS[3]
FRAME_RATE = 1000 / 60  # of the animation, frames a second
FRAME_SIZE = 256  # pixels; smaller images are enlarged by whole factors


@dataclass(frozen=True)
class Interpolation:
    """Images along paths between seeds, and how far each step moved the image.

    Attributes:
        seeds: P + 1 of them: path p leads from seeds[p] to seeds[p + 1].
        images: uint8 [P, S, H, W, C]; the first and last of a path are the seeds' own.
        scores: Mean absolute difference of consecutive images, pixel values from 0 to 1; float64 [P, S - 1].
        threshold: A step with a score above it is flagged as a jump.
        space: "z" or "w".
        linear: Whether the paths are straight lines; else great circles.
    """

    seeds: list[int]
    images: np.ndarray
    scores: np.ndarray
    threshold: float
    space: LatentSpace
    linear: bool

    @property
    def jumps(self) -> np.ndarray:
        """Which steps are flagged, bool [P, S - 1]."""
        flagged: np.ndarray = self.scores > self.threshold
        return flagged

    @property
    def unevenness(self) -> np.ndarray:
        """Largest score of a path over its mean, float64 [P]: 1 for even steps, S - 1 for a single jump."""
        means = self.scores.mean(axis=1)
        ratios: np.ndarray = np.divide(self.scores.max(axis=1), means, out=np.ones_like(means), where=means > 0)
        return ratios

    def as_dict(self) -> dict[str, Any]:
        """Everything but the pixels as plain data."""
        return {
            "space": self.space,
            "path": "linear" if self.linear else "spherical",
            "threshold": self.threshold,
            "score": "mean absolute difference of consecutive images, pixel values from 0 to 1",
            "paths": [
                {
                    "seeds": self.seeds[p : p + 2],
                    "scores": self.scores[p].tolist(),
                    "jumps": np.flatnonzero(self.jumps[p]).tolist(),
                    "unevenness": float(self.unevenness[p]),
                }
                for p in range(len(self.scores))
            ],
        }


def interpolate(
    generator: Generator,
    seeds: Sequence[int],
    steps: int = 9,
    space: LatentSpace = "z",
    *,
    linear: bool = False,
    threshold: float = THRESHOLD,
    label: int | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
) -> Interpolation:
    """Generate images on the paths from each seed to the next, with constant noise.

    Latents z lie near a sphere, and so do the paths by default; in w they are straight lines. A generator with classes
    shows one class on all paths through z, that of the first seed; in w each seed brings its own.

    Args:
        generator: Runs where its parameters are.
        seeds: Two or more, up to 33; neighbours differ.
        steps: Images on a path, both ends included; 2 to 256. More of them make smaller steps.
        space: "z" or "w".
        linear: Walk straight lines in z.
        threshold: Steps with a higher score are flagged; 0 or more.
        label: Class of all images; by default it comes from the seeds where the generator has classes.
        truncation_psi: 1 for none.
        truncation_cutoff: How many layers are truncated, the first ones; all by default.

    Raises:
        ValueError: Seeds, steps, threshold, label or truncation do not fit, or `linear` was given for w.
    """
    check_paths(seeds, steps, space, linear, threshold)
    truncation: dict[str, Any] = {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    walk = walk_of_seeds(generator, seeds, space, linear=linear, label=label, **truncation)
    paths = len(seeds) - 1
    segments, fractions = torch.arange(paths).repeat_interleave(steps), torch.linspace(0, 1, steps, dtype=torch.float64)
    ws = walk.styles(segments, fractions.repeat(paths))
    array = images_of_styles(generator, ws, "Walking")
    array = array.reshape(len(seeds) - 1, steps, *array.shape[1:])
    return Interpolation(list(seeds), array, step_scores(array), threshold, space, linear or space == "w")


def check_paths(seeds: Sequence[int], steps: int, space: str, linear: bool, threshold: float) -> None:
    """Refuse paths that no generator can be walked along.

    Raises:
        ValueError: Seeds, steps or threshold do not fit, or `linear` was given for w.
    """
    if not 2 <= len(seeds) <= MAX_ROWS + 1:
        raise ValueError(f"{len(seeds)} seeds: paths lead from each to the next, give 2 to {MAX_ROWS + 1}")
    check_neighbours(seeds)
    if not 2 <= steps <= MAX_STEPS:
        raise ValueError(f"steps {steps} is out of range: a path has 2 to {MAX_STEPS} images, its ends included")
    check_space(space, linear)
    if not threshold >= 0:
        raise ValueError(f"threshold {threshold:g} is out of range: scores lie between 0 and 1")


def step_scores(images: np.ndarray) -> np.ndarray:
    """Mean absolute difference of consecutive uint8 images [P, S, H, W, C], as values from 0 to 1: [P, S - 1]."""
    steps = np.abs(np.diff(images.astype(np.int16), axis=1))
    scores: np.ndarray = steps.mean(axis=(2, 3, 4), dtype=np.float64) / 255
    return scores


def draw_interpolation(interpolation: Interpolation) -> Figure:
    """Two rows per path: its images, and between them the differences with their scores; jumps are orange."""
    paths, steps = interpolation.images.shape[:2]
    half, row = PANEL / 2, PANEL * 1.5 + 4 * GAP + 0.15
    width, height = 2 * MARGIN + steps * (PANEL + GAP) - GAP, MARGIN + paths * row
    figure = Figure(figsize=(width, height), dpi=max(DPI, math.ceil(interpolation.images.shape[2] / PANEL)))
    kind = "straight line" if interpolation.linear else "great circle"
    title = f"{kind} in {interpolation.space}, jumps above {interpolation.threshold:g} are orange"
    figure.text(MARGIN / width, 1 - 0.2 / height, title, fontsize=9, va="center")

    def panel(left: float, top: float, size: float) -> Axes:
        return figure.add_axes((left / width, 1 - (top + size) / height, size / width, size / height))

    for p in range(paths):
        top = MARGIN + p * row
        for s in range(steps):
            axes = panel(MARGIN + s * (PANEL + GAP), top, PANEL)
            ends = {0: f"seed {interpolation.seeds[p]}", steps - 1: f"seed {interpolation.seeds[p + 1]}"}
            show(axes, interpolation.images[p, s], ends.get(s, ""))
            if s < steps - 1:
                left = MARGIN + (s + 1) * (PANEL + GAP) - GAP / 2 - half / 2
                _draw_step(panel(left, top + PANEL + GAP, half), interpolation, p, s)
    return figure


def _draw_step(axes: Axes, interpolation: Interpolation, p: int, s: int) -> None:
    before, after = interpolation.images[p, s : s + 2].astype(np.int16)
    jump = bool(interpolation.jumps[p, s])
    axes.imshow(np.abs(after - before).mean(axis=2), cmap="gray", vmin=0, vmax=128)
    axes.set_xlabel(f"{interpolation.scores[p, s]:.3f}", fontsize=8, color=JUMP if jump else "black", labelpad=2)
    frame(axes, JUMP if jump else "#808080", 2 if jump else 0.5)


def save_animation(interpolation: Interpolation, path: Path) -> None:
    """Write all paths one after another, there and back, as an endless GIF."""
    paths, steps, height = interpolation.images.shape[:3]
    # the end of a path is the start of the next one
    there = [interpolation.images[p, s] for p in range(paths) for s in range(steps) if p == 0 or s > 0]
    scale = max(1, FRAME_SIZE // height)
    frames = (image.repeat(scale, axis=0).repeat(scale, axis=1) for image in there + there[-2:0:-1])
    with replacing(path) as partial:
        save_gif(frames, partial, FRAME_RATE)
