"""Styles of seeds and images of styles, for studies that look at w itself."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from dualgan.networks import Generator, Latents
from dualgan.networks.mapping import MappedGenerator
from dualgan.networks.sampling import drawn_classes, evaluating, latents
from dualgan.pictures.pixels import to_uint8
from dualgan.runtime.progress import progress

W_SAMPLES = 10_000
BATCH = 16


@torch.no_grad()
def styles_of(
    generator: MappedGenerator,
    seeds: Sequence[int],
    *,
    label: int | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
) -> Tensor:
    """Ws [N, num_ws, w_dim] of seeds, where the generator's parameters are.

    Args:
        generator: The generator.
        seeds: N of them.
        label: Class of all; by default each seed draws its own where the generator has classes.
        truncation_psi: 1 for none.
        truncation_cutoff: How many layers are truncated, the first ones; all by default.

    Raises:
        ValueError: A class for a generator that has none, or a truncation that cannot be.
    """
    device = next(generator.parameters()).device
    labels = classes_of(generator, seeds, label)
    classes = None if labels is None else labels.to(device)
    z = latents(seeds, generator.z_dim).to(device)
    with evaluating(generator):
        return generator.styles(Latents(z), classes, truncation_psi, truncation_cutoff)


def classes_of(generator: Generator, seeds: Sequence[int], label: int | None = None) -> Tensor | None:
    """A class for each seed, int64 [N] on the CPU: `label`, or else what the seed draws; None where there are none."""
    return drawn_classes(generator, seeds) if label is None else torch.full((len(seeds),), label)


def sample_w(generator: MappedGenerator, seed: int = 0, label: int | None = None) -> Tensor:
    """W of `W_SAMPLES` latents, [W_SAMPLES, w_dim], of all classes or of one; sets of different seeds share none."""
    return styles_of(generator, range(seed * W_SAMPLES, (seed + 1) * W_SAMPLES), label=label)[:, 0]


def images_of_styles(generator: Generator, ws: Tensor, what: str = "Generating") -> np.ndarray:
    """Images of ws [N, num_ws, w_dim] with constant noise, uint8 [N, H, W, C]; `what` is said of the progress."""
    parts = torch.split(ws, BATCH)
    with evaluating(generator), torch.inference_mode():
        shown = progress(parts, what, len(parts), "batches")
        return torch.cat([to_uint8(generator.synthesis(part, noise_mode="const")).cpu() for part in shown]).numpy()


def synthesize(generator: Generator, styles: Tensor, noise: dict[str, Tensor]) -> Tensor:
    """Image of styles [1, ...] with noise maps [R, R] by the names of their buffers: [1, C, H, W] around [-1, 1]."""
    images: Tensor = torch.func.functional_call(generator.synthesis, noise, (styles,), {"noise_mode": "const"})
    return images


def checked_layers(layers: Sequence[int] | None, generator: MappedGenerator) -> list[int]:
    """Layers that have a style of their own, in their order; all that the generator uses now by default.

    Raises:
        ValueError: None, one twice, or one that the generator has not.
    """
    count = generator.active_ws
    if layers is None:
        return list(range(count))
    unknown = [layer for layer in layers if not 0 <= layer < count]
    if unknown:
        raise ValueError(f"layer {unknown[0]} does not exist: this generator has layers 0 to {count - 1}")
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(f"layers {' '.join(map(str, layers))!r}: name one or more of 0 to {count - 1}, each once")
    return sorted(layers)


def in_ranges(layers: Sequence[int]) -> str:
    """Sorted layers in words, such as "0-3, 6"."""
    starts = [k for k, layer in enumerate(layers) if k == 0 or layers[k - 1] != layer - 1]
    parts = [layers[first:stop] for first, stop in pairwise([*starts, len(layers)])]
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def in_layers(layers: Sequence[int], ws: Tensor) -> Tensor:
    """Which of the layers of ws [..., num_ws, w_dim] are among some, bool [num_ws, 1]."""
    chosen = torch.zeros(ws.shape[-2], 1, dtype=torch.bool)
    chosen[list(layers)] = True
    return chosen.to(ws.device)
