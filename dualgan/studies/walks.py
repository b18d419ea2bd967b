"""Paths through latents, from each to the next: on great circles in z, on straight lines in w."""

# K points, N places

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from dualgan.networks import Generator, Latents
from dualgan.networks.mapping import with_mapping
from dualgan.networks.sampling import evaluating, latents, slerp
from dualgan.studies.styles import classes_of, styles_of

LatentSpace = Literal["z", "w"]


def check_neighbours(seeds: Sequence[int]) -> None:
    """Refuse paths of no length.

    Raises:
        ValueError: A seed follows itself.
    """
    for first, second in pairwise(seeds):
        if first == second:
            raise ValueError(f"seed {first} follows itself: there is no path between equal latents")


def check_space(space: str, linear: bool) -> None:
    """Refuse what is no path.

    Raises:
        ValueError: An unknown space, or `linear` was given for w.
    """
    if space not in ("z", "w"):
        raise ValueError(f"space {space!r} is unknown: expected z or w")
    if linear and space == "w":
        raise ValueError("linear has no effect in w, where paths are straight lines anyway: leave it out")


@dataclass(frozen=True)
class Walk:
    """A path through points.

    Attributes:
        points: [K, ...], K 2 or more.
        linear: Straight lines from each point to the next; else great circles.
        to_styles: Turns points [N, ...] of the path into what the generator's `synthesis` takes.
    """

    points: Tensor
    linear: bool
    to_styles: Callable[[Tensor], Tensor]

    def styles(self, segments: Tensor, fractions: Tensor) -> Tensor:
        """Styles [N, ...] at places of the path.

        Args:
            segments: From which point on, int64 [N] on the CPU, 0 to K - 2.
            fractions: How much of the way to the next point, float64 [N] on the CPU, 0 to 1.
        """
        points = self.points
        starts, ends = (points[(segments + k).to(points.device)] for k in (0, 1))
        between = fractions.to(points.dtype).to(points.device).view(-1, *[1] * (points.dim() - 1))
        return self.to_styles((torch.lerp if self.linear else slerp)(starts, ends, between))


def walk_of_seeds(
    generator: Generator,
    seeds: Sequence[int],
    space: LatentSpace = "z",
    *,
    linear: bool = False,
    label: int | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
) -> Walk:
    """The path from each seed to the next.

    A generator with classes shows one class on all of a path through z, that of the first seed; in w each seed brings
    its own.

    Args:
        generator: Runs where its parameters are.
        seeds: Two or more.
        space: "z" or "w".
        linear: Walk straight lines in z.
        label: Class of all images; by default it comes from the seeds where the generator has classes.
        truncation_psi: 1 for none.
        truncation_cutoff: How many layers are truncated, the first ones; all by default.

    Raises:
        ValueError: The label does not fit, or the generator lacks a mapping network that w or truncation needs.
    """
    if space == "w":
        mapped, psi = with_mapping(generator, "space w"), truncation_psi
        ends = styles_of(mapped, seeds, label=label, truncation_psi=psi, truncation_cutoff=truncation_cutoff)
        return walk_of_styles(ends)
    labels = classes_of(generator, seeds, label)
    device = next(generator.parameters()).device

    def to_styles(z: Tensor) -> Tensor:
        classes = None if labels is None else labels[:1].expand(len(z)).to(device)
        with evaluating(generator), torch.inference_mode():
            drawn = Latents(z.float().to(device))
            if truncation_cutoff is None:
                return generator.styles(drawn, classes, truncation_psi)
            mapped = with_mapping(generator, "truncation_cutoff")
            return mapped.styles(drawn, classes, truncation_psi, truncation_cutoff)

    z = latents(seeds, generator.z_dim).double()  # on the CPU: not every device has float64
    return Walk(z, linear, to_styles)


def walk_of_styles(styles: Tensor) -> Walk:
    """The straight path from each of some styles [K, ...] to the next."""
    return Walk(styles, True, lambda points: points)
