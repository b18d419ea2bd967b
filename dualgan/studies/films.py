"""Frames of films of latents: grids of walks, and sweeps of truncation."""

# K points of a walk, T frames, C cells of the grid

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dualgan.files.trouble import absent
from dualgan.networks import Generator, Latents
from dualgan.networks.mapping import MappedGenerator, with_mapping
from dualgan.networks.sampling import evaluating
from dualgan.pictures.films import Frame
from dualgan.pictures.grids import grid
from dualgan.pictures.pixels import to_uint8
from dualgan.studies.directions import w_digest
from dualgan.studies.styles import BATCH, styles_of, synthesize
from dualgan.studies.walks import Walk, walk_of_styles

Easing = Literal["linear", "smooth", "smoother"]
_EXPECTED = (
    "give a .safetensors file that 'dualgan project' or the page of 'dualgan explore' has written for this checkpoint"
)


class Timeline(NamedTuple):
    """Where on their walks all cells are: segments and fractions as for `Walk.styles`, [T] each."""

    segments: Tensor
    fractions: Tensor


@dataclass(frozen=True)
class Cell:
    """One place of the grid: a walk, and the walks of its noise maps by the names of their layers; maybe none."""

    walk: Walk
    noise: dict[str, Walk] = field(default_factory=dict)


def eased(fractions: Tensor, easing: Easing) -> Tensor:
    """Parts of the way after parts of the time, both from 0 to 1.

    Raises:
        ValueError: An unknown easing.
    """
    t = fractions
    if easing == "linear":
        return t
    if easing == "smooth":  # the cubic that rests at both ends
        return t * t * (3 - 2 * t)
    if easing == "smoother":  # the quintic that also begins and ends without acceleration
        return t * t * t * (10 - 15 * t + 6 * t * t)
    raise ValueError(f"easing {easing!r} is unknown: expected {', '.join(get_args(Easing))}")


def timeline(points: int, frames: int, easing: Easing, *, with_end: bool) -> Timeline:
    """A way through points, `frames` from each to the next; `with_end` adds the last point itself.

    A film that returns to its first point goes without: its player begins anew there.
    """
    segments = torch.arange(points - 1).repeat_interleave(frames)
    fractions = eased(torch.arange(frames, dtype=torch.float64) / frames, easing).repeat(points - 1)
    if with_end:
        segments, fractions = torch.cat([segments, segments[-1:]]), torch.cat([fractions, fractions.new_ones(1)])
    return Timeline(segments, fractions)


def walk_frames(
    generator: Generator, cells: Sequence[Cell], columns: int, when: Timeline, captions: Sequence[str] = ()
) -> Iterator[Frame]:
    """Walk all cells at once with constant noise, or their own; images are made when their frame is asked for.

    Args:
        generator: Runs where its parameters are.
        cells: In reading order.
        columns: Cells in a row.
        when: Where the walks are in each frame.
        captions: Of the frames; none by default.
    """
    at_once = max(1, BATCH // len(cells))
    for start in range(0, len(when.segments), at_once):
        images = _images(generator, cells, *(part[start : start + at_once] for part in when))
        for k, of_frame in enumerate(torch.split(images, len(cells)), start=start):
            yield Frame(grid(of_frame, columns), captions[k] if captions else "")


def _images(generator: Generator, cells: Sequence[Cell], segments: Tensor, fractions: Tensor) -> Tensor:
    """Images of all cells in frame after frame, uint8 [T * C, H, W, channels] on the CPU."""
    with evaluating(generator), torch.inference_mode():
        walked = [cell.walk.styles(segments, fractions) for cell in cells]
        styles = torch.stack(walked, dim=1).flatten(0, 1)
        if not any(cell.noise for cell in cells):
            made = [generator.synthesis(part, noise_mode="const") for part in torch.split(styles, BATCH)]
        else:
            maps = [{name: walk.styles(segments, fractions) for name, walk in cell.noise.items()} for cell in cells]
            made = []
            for n in range(len(styles)):
                frame, cell = divmod(n, len(cells))
                made.append(synthesize(generator, styles[n : n + 1], {k: v[frame] for k, v in maps[cell].items()}))
        return torch.cat([to_uint8(images).cpu() for images in made])


def truncation_cells(
    generator: Generator,
    seeds: Sequence[int],
    psis: Sequence[float],
    label: int | None = None,
    cutoff: int | None = None,
) -> list[Cell]:
    """A cell per seed, which walks through its ws under every truncation: between them psi changes evenly.

    Raises:
        ValueError: The generator has no mapping network, no such class, or fewer layers than `cutoff`.
    """
    mapped = with_mapping(generator, "truncation")
    truncated = [styles_of(mapped, seeds, label=label, truncation_psi=psi, truncation_cutoff=cutoff) for psi in psis]
    return [Cell(walk_of_styles(ws)) for ws in torch.stack(truncated, dim=1)]


def psi_captions(psis: Sequence[float], when: Timeline) -> list[str]:
    """What the truncation is in each frame of a sweep."""
    points = torch.tensor(psis, dtype=torch.float64)
    shown = torch.lerp(points[when.segments], points[when.segments + 1], when.fractions)
    return [f"truncation psi {psi:.2f}" for psi in shown.tolist()]


@dataclass(frozen=True)
class SavedLatents:
    """Latents of files of `dualgan project` or `dualgan explore`.

    Attributes:
        styles: What `synthesis` takes, float32 [K, ...].
        noise: Noise maps by the names of their layers, float32 [K, R, R]; empty for the generator's own.
    """

    styles: Tensor
    noise: dict[str, Tensor]

    def cells(self, count: int, closed: bool) -> list[Cell]:
        """`count` walks through equally many of the latents each, in their order."""
        return [self._cell(part, closed) for part in torch.arange(len(self.styles)).chunk(count)]

    def _cell(self, part: Tensor, closed: bool) -> Cell:
        points = torch.cat([part, part[:1]]) if closed else part
        noise = {name: noise_walk(maps[points]) for name, maps in self.noise.items()}
        return Cell(walk_of_styles(self.styles[points]), noise)


def noise_walk(maps: Tensor) -> Walk:
    """A walk on great circles, on which white noise [K, R, R] keeps its deviation."""
    return Walk(maps.flatten(1), False, lambda points: points.view(-1, *maps.shape[1:]))


def read_latents(files: Sequence[str], generator: Generator) -> SavedLatents:
    """The latents of some files one after the other, where the generator's parameters are.

    Raises:
        ValueError: A file is missing, damaged or holds no latents, they are not this generator's, or some files have
            noise maps and others none.
    """
    device = next(generator.parameters()).device
    shape = _shape_of_styles(generator)
    buffers = {name: buffer.shape for name, buffer in generator.synthesis.named_buffers()}
    network = network_of_latents(generator)
    read = [_read_file(Path(file), shape, buffers, network) for file in files]
    names = [set(one.noise) for one in read]
    if differing := next((k for k, found in enumerate(names) if found != names[0]), None):
        raise ValueError(f"{files[0]} and {files[differing]} differ in their noise maps: project both with or without")
    noise = {name: torch.cat([one.noise[name] for one in read]).to(device) for name in read[0].noise}
    return SavedLatents(torch.cat([one.styles for one in read]).to(device), noise)


def network_of_latents(generator: Generator) -> str:
    """What files of latents say of their network, so that no other one takes them; empty without a mapping network."""
    return w_digest(generator) if isinstance(generator, MappedGenerator) else ""


def _shape_of_styles(generator: Generator) -> tuple[int, ...]:
    device = next(generator.parameters()).device
    labels = torch.zeros(1, dtype=torch.int64, device=device) if generator.num_classes else None
    with evaluating(generator), torch.inference_mode():
        return tuple(generator.styles(Latents(torch.zeros(1, generator.z_dim, device=device)), labels).shape[1:])


def _read_file(path: Path, shape: tuple[int, ...], buffers: dict[str, torch.Size], network: str) -> SavedLatents:
    if not path.is_file():
        raise ValueError(f"{absent(path, 'latents')}: {_EXPECTED}")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118, it is no dictionary
            about = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"cannot read {path} as safetensors ({error}): {_EXPECTED}") from error
    styles = tensors.get("ws", tensors.get("styles"))
    if styles is None:
        raise ValueError(f"{path} holds no latents ('ws' or 'styles'): {_EXPECTED}")
    if tuple(styles.shape[1:]) != shape or not len(styles):
        raise ValueError(
            f"{path} has latents {list(styles.shape)}, and this generator takes [N, {_listed(shape)}]: {_EXPECTED}"
        )
    if about.get("network", network) != network:  # older files do not say it
        made_with = f" of {about['checkpoint']!r}" if about.get("checkpoint") else ""
        raise ValueError(f"{path} has latents{made_with}, whose mapping network is another one: {_EXPECTED}")
    noise = {name.removeprefix("noise."): maps for name, maps in tensors.items() if name.startswith("noise.")}
    for name, maps in noise.items():
        expected = buffers.get(name)
        if expected is None or tuple(maps.shape) != (len(styles), *expected):
            raise ValueError(
                f"{path} has noise maps {name} {list(maps.shape)}, which this generator does not take: {_EXPECTED}"
            )
    if not all(bool(value.isfinite().all()) for value in (styles, *noise.values())):
        raise ValueError(f"{path} holds NaN or infinity: {_EXPECTED}")
    return SavedLatents(styles, noise)


def _listed(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))


def near_square(count: int) -> int:
    """Columns of a grid of `count` images that is about as wide as high."""
    return math.ceil(math.sqrt(count))
