"""Real images as the generator would draw them: the latents whose images come nearest (main paper, Fig. 7).

After the projector of StyleGAN2 (Karras et al., CVPR 2020, appendix D): start from the mean w, shake w while searching,
let the learning rate rise and fall, keep noise maps free of structure.
"""

# N queries, H W C image, C H W image in [-1, 1], R noise map

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from dualgan.metrics import PerceptualDistance
from dualgan.networks import Generator
from dualgan.networks.base import check_has_mapping
from dualgan.networks.mapping import with_mapping
from dualgan.networks.sampling import evaluating
from dualgan.pictures.figures import COLOURS, DPI, MAX_ROWS, show
from dualgan.pictures.pixels import to_float, to_uint8
from dualgan.runtime.progress import Progress
from dualgan.runtime.seeding import mix_seed
from dualgan.studies.styles import sample_w, synthesize

LatentSpace = Literal["w", "w+"]
MAX_STEPS = 100_000
PANEL = 1.3  # inches
# appendix D
LEARNING_RATE, RISE, FALL = 0.1, 0.05, 0.25  # parts of all steps in which the learning rate rises and falls
SHAKE, SHAKE_END = 0.05, 0.75  # noise on w as a part of w's deviation; it ends at this part of all steps
NOISE_WEIGHT = 1e5
SMALLEST_NOISE = 8  # maps are compared with themselves down to this size


@dataclass(frozen=True)
class Projection:
    """Latents of queries and the images that they give.

    Attributes:
        ws: float32 [N, num_ws, w_dim] on the CPU.
        noise: Noise maps by the name of their layer, float32 [N, R, R]; empty where the generator's own were kept.
        images: uint8 [N, H, W, C].
        losses: Loss at every step, float64 [N, steps].
        pixel: Root mean square difference from the query, pixel values from 0 to 1; float64 [N].
        perceptual: Distance from the query squared, in the units of the distance, float64 [N].
    """

    ws: Tensor
    noise: dict[str, Tensor]
    images: np.ndarray
    losses: np.ndarray
    pixel: np.ndarray
    perceptual: np.ndarray


def project(
    generator: Generator,
    queries: np.ndarray,
    distance: PerceptualDistance,
    steps: int = 500,
    space: LatentSpace = "w",
    *,
    optimize_noise: bool = False,
    seed: int = 0,
) -> Projection:
    """Search the latents whose images come nearest to the queries, one query after the other.

    The loss is the squared perceptual distance plus the mean square difference of pixels, each as a part of what it is
    for the image of the mean w: features alone may hardly say where things are. Classes need not be known: w comes
    after them.

    Args:
        generator: Runs where its parameters are; they stay as they are.
        queries: uint8 [N, H, W, C], N 1 to 32.
        distance: The perceptual distance.
        steps: Steps of Adam per query, 1 or more; StyleGAN2 takes 1000.
        space: "w" for one w in all layers, "w+" for one of its own in each.
        optimize_noise: Also search the noise maps, which otherwise are the generator's own.
        seed: Of the samples that w's mean is taken of, and of the shaking; each query draws the same.

    Raises:
        ValueError: The queries do not fit the generator, there are too many of them or of the steps, or the generator
            has no noise to search.
    """
    _check_queries(queries, generator, steps, space)
    check_generator(generator, optimize_noise)
    found = []
    with evaluating(generator), Progress("Projecting", len(queries) * steps, "steps") as bar:
        start, deviation = w_statistics(generator, seed)
        for query in torch.from_numpy(queries):
            search = _Search(generator, to_float(query[None]).to(start.device), distance, start, space, optimize_noise)
            source = torch.Generator().manual_seed(mix_seed(seed, "projection"))
            losses = []
            for step in range(steps):
                losses.append(search.step(step / steps, (step + 1) / steps, deviation, source))
                bar.update()
            found.append((search, losses))
        shown = [to_uint8(search.image()) for search, _ in found]
        perceptual = [search.perceptual(to_float(image)) for (search, _), image in zip(found, shown, strict=True)]
    images = torch.cat(shown).cpu().numpy()
    return Projection(
        torch.cat([search.ws().detach().cpu() for search, _ in found]),
        {name: torch.stack([search.noise[name].detach().cpu() for search, _ in found]) for name in found[0][0].noise},
        images,
        np.array([losses for _, losses in found], np.float64),
        pixel_distance(images, queries),
        np.array(perceptual, np.float64),
    )


def pixel_distance(images: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Root mean square difference of uint8 images [N, H, W, C], pixel values from 0 to 1: float64 [N]."""
    squares = np.square((images.astype(np.float64) - queries) / 255)
    distances: np.ndarray = np.sqrt(squares.mean(axis=(1, 2, 3)))
    return distances


@torch.no_grad()
def w_statistics(generator: Generator, seed: int = 0) -> tuple[Tensor, float]:
    """Mean w [w_dim] over latents and classes, and w's root mean square distance from it."""
    w = sample_w(with_mapping(generator, "projection"), seed)
    mean = w.mean(dim=0)
    return mean, float((w - mean).square().sum(dim=1).mean().sqrt())


def learning_rate(part: float) -> float:
    """Learning rate after a part of all steps: a linear rise, a plateau, a fall along a cosine."""
    fall = min(1.0, (1 - part) / FALL)
    return LEARNING_RATE * (0.5 - 0.5 * math.cos(fall * math.pi)) * min(1.0, part / RISE)


def noise_structure(noise: Tensor) -> Tensor:
    """How much a noise map [R, R] resembles itself one pixel further, at all sizes: a scalar, 0 for white noise."""
    total = noise.new_zeros(())
    while True:
        for axis in (0, 1):
            total = total + (noise * noise.roll(1, axis)).mean().square()
        if len(noise) <= SMALLEST_NOISE:
            return total
        noise = 2 * F.avg_pool2d(noise[None], 2)[0]  # white noise keeps its deviation


class _Search:
    """The search for one query, `target` [1, C, H, W] in [-1, 1], from the mean w `start` [w_dim]."""

    def __init__(
        self,
        generator: Generator,
        target: Tensor,
        distance: PerceptualDistance,
        start: Tensor,
        space: LatentSpace,
        optimize_noise: bool,
    ) -> None:
        self.generator, self.target, self.distance = generator, target, distance.to(target.device)
        copies = generator.num_ws if space == "w+" else 1
        self.w = start.repeat(1, copies, 1).requires_grad_()
        maps = {n: b for n, b in generator.synthesis.named_buffers() if n.endswith("noise_const") and optimize_noise}
        self.noise = {name: buffer.detach().clone().requires_grad_() for name, buffer in maps.items()}
        self.optimizer = torch.optim.Adam([self.w, *self.noise.values()])
        with torch.no_grad():
            self.scales = [max(float(value), 1e-8) for value in self.differences(self.image())]

    def ws(self) -> Tensor:
        """Styles [1, num_ws, w_dim]."""
        return self.w.expand(-1, self.generator.num_ws, -1)

    @torch.no_grad()
    def image(self) -> Tensor:
        """The present image [1, C, H, W]."""
        return synthesize(self.generator, self.ws(), self.noise)

    def differences(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Squared perceptual distance and mean square difference of pixels between an image and the target."""
        colours = (x.expand(-1, 3, -1, -1) for x in (image, self.target))
        return self.distance(*colours).sum(), (image - self.target).square().mean()

    @torch.no_grad()
    def perceptual(self, image: Tensor) -> float:
        """Squared perceptual distance of an image [1, C, H, W] from the target."""
        return float(self.differences(image)[0])

    def step(self, before: float, after: float, deviation: float, source: torch.Generator) -> float:
        """One step of Adam, from one part of all steps to the next; returns the loss."""
        strength = SHAKE * deviation / self.w.shape[2] ** 0.5 * max(0.0, 1 - before / SHAKE_END) ** 2
        shake = strength * torch.randn(self.w.shape, generator=source).to(self.w.device)
        image = synthesize(self.generator, (self.w + shake).expand(-1, self.generator.num_ws, -1), self.noise)
        perceptual, pixel = self.differences(image)
        loss = perceptual / self.scales[0] + pixel / self.scales[1]
        for noise in self.noise.values():
            loss = loss + NOISE_WEIGHT * noise_structure(noise)
        searched = [self.w, *self.noise.values()]
        for tensor, gradient in zip(searched, torch.autograd.grad(loss, searched), strict=True):
            tensor.grad = gradient
        self.optimizer.param_groups[0]["lr"] = learning_rate(after)
        self.optimizer.step()
        with torch.no_grad():
            for noise in self.noise.values():
                noise.sub_(noise.mean()).div_(noise.std(correction=0))
        return float(loss.detach())


def _check_queries(queries: np.ndarray, generator: Generator, steps: int, space: str) -> None:
    expected = (generator.resolution, generator.resolution, generator.num_channels)
    if queries.dtype != np.uint8 or queries.shape[1:] != expected:
        raise ValueError(
            f"queries of {queries.dtype} {list(queries.shape)}: this generator needs uint8 [N, {expected[0]}, "
            f"{expected[1]}, {expected[2]}]"
        )
    if not 1 <= len(queries) <= MAX_ROWS:
        raise ValueError(f"{len(queries)} queries: a figure has 1 to {MAX_ROWS} rows, one per query")
    check_search(steps, space)


def check_generator(generator: Generator, optimize_noise: bool) -> None:
    """Refuse a generator that cannot be searched.

    Raises:
        ValueError: It has no mapping network, or no noise maps to search.
    """
    check_has_mapping(generator, "projection")
    if optimize_noise and not generator.has_noise:
        raise ValueError("this generator was built with noise=False and has no noise maps to search: leave out --noise")


def check_search(steps: int, space: str) -> None:
    """Refuse a search that cannot be made.

    Raises:
        ValueError: No or too many steps, or an unknown space.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"steps {steps} is out of range: expected 1 to {MAX_STEPS}; StyleGAN2 takes 1000")
    if space not in ("w", "w+"):
        raise ValueError(f"space {space!r} is unknown: expected w or w+")


def draw_projections(
    queries: np.ndarray, projections: dict[str, Projection], names: Sequence[str], perceptual: str
) -> Figure:
    """One row per query: the real image, then its reconstruction by every generator, with its distances.

    Args:
        queries: uint8 [N, H, W, C].
        projections: By the name of the generator, in the order of the columns.
        names: Names of the queries [N].
        perceptual: Name of the perceptual distance.
    """
    rows, columns = len(queries), 1 + len(projections)
    size = (columns * (PANEL + 0.15) + 0.2, rows * (PANEL + 0.45) + 0.4)
    figure = Figure(figsize=size, dpi=max(DPI, math.ceil(queries.shape[1] / PANEL)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    panels[0, 0].set_title("real", fontsize=9)
    for axes, query, name in zip(panels[:, 0], queries, names, strict=True):
        show(axes, query, name if len(name) <= 18 else f"...{name[-15:]}", COLOURS[1], 2)
    for column, (title, found) in enumerate(projections.items(), start=1):
        panels[0, column].set_title(title, fontsize=9)
        for n in range(rows):
            distances = f"pixel {found.pixel[n]:.3f}\n{perceptual} {found.perceptual[n]:.3g}"
            show(panels[n, column], found.images[n], distances)
    return figure
