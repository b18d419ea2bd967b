"""Paths through latents, from each to the next: on great circles in z, on straight lines in w."""

# K points, N places

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from dualgan.networks import Generator, Latents
from dualgan.networks.base import check_has_mapping
from dualgan.networks.sampling import drawn_classes, evaluating, latents, slerp

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

    Raises:
        ValueError: The label does not fit, or the generator lacks a mapping network that w or truncation needs.
    """
    if space == "w":
        styles = styles_of_seeds(generator, seeds, label=label, truncation_psi=truncation_psi)
        return walk_of_styles(styles)
    labels = _classes(generator, seeds, label)
    device = next(generator.parameters()).device

    def to_styles(z: Tensor) -> Tensor:
        classes = None if labels is None else labels[:1].expand(len(z)).to(device)
        with evaluating(generator), torch.inference_mode():
            return generator.styles(Latents(z.float().to(device)), classes, truncation_psi)

    z = latents(seeds, generator.z_dim).double()  # on the CPU: not every device has float64
    return Walk(z, linear, to_styles)


def walk_of_styles(styles: Tensor) -> Walk:
    """The straight path from each of some styles [K, ...] to the next."""
    return Walk(styles, True, lambda points: points)


def styles_of_seeds(
    generator: Generator, seeds: Sequence[int], *, label: int | None = None, truncation_psi: float = 1.0
) -> Tensor:
    """Ws [K, num_ws, w_dim] of seeds, where the generator's parameters are; arguments as for `walk_of_seeds`.

    Raises:
        ValueError: The generator has no mapping network, or the label does not fit.
    """
    check_has_mapping(generator, "space w")
    labels = _classes(generator, seeds, label)
    device = next(generator.parameters()).device
    z = latents(seeds, generator.z_dim).to(device)
    classes = None if labels is None else labels.to(device)
    with evaluating(generator), torch.inference_mode():
        return generator.styles(Latents(z), classes, truncation_psi)


def _classes(generator: Generator, seeds: Sequence[int], label: int | None) -> Tensor | None:
    return drawn_classes(generator, seeds) if label is None else torch.full((len(seeds),), label)
