"""Images from seeds: the same seed gives the same latent and class on every device, in any batch, on any rank."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dualgan.networks.base import check_has_mapping
from dualgan.networks.classes import existing_classes
from dualgan.pictures.pixels import to_uint8
from dualgan.runtime.seeding import SEEDS

_LABEL_STREAM = 0x9E3779B9  # any constant: a class must not be drawn from the bits that also make z


def latents(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Draw standard normal latents, float32 [N, z_dim] on the CPU; row k depends on seeds[k] alone.

    Seeds are integers from 0 to 2**63 - 1; no two give the same latent.

    Raises:
        ValueError: Another seed.
    """
    if not seeds:
        return torch.empty(0, z_dim)
    return torch.stack([_Stream(seed).normal(z_dim) for seed in seeds])


def labels_for(seeds: Sequence[int], num_classes: int, counts: Tensor | None = None) -> Tensor | None:
    """Draw class indices, int64 [N] on the CPU, each from its seed alone; None if there are no classes.

    Uniformly, or in proportion to `counts`, images of every class [num_classes].
    """
    if num_classes == 0:
        return None
    if counts is not None:
        points = [_Stream(seed).of_class().uniform() for seed in seeds]
        exact = counts.cpu().double()
        below = exact.cumsum(0) / exact.sum()
        return torch.searchsorted(below, torch.tensor(points, dtype=torch.float64), right=True)
    return torch.tensor([_Stream(seed).of_class().below(num_classes) for seed in seeds], dtype=torch.int64)


def drawn_classes(generator: nn.Module, seeds: Sequence[int], counts: Tensor | None = None) -> Tensor | None:
    """Draw a class of the generator for every seed, int64 [N] on the CPU, as `labels_for` does.

    In proportion to `counts`, images of every class [num_classes], or uniformly from those that exist.
    """
    num_classes = int(generator.num_classes)  # type: ignore[arg-type]
    existing = existing_classes(generator)
    if counts is not None or len(existing) == num_classes:
        return labels_for(seeds, num_classes, counts)
    drawn = labels_for(seeds, len(existing))
    assert drawn is not None
    return torch.tensor(existing)[drawn]


def slerp(start: Tensor, end: Tensor, fractions: Tensor) -> Tensor:
    """Points [..., d] at `fractions` [..., 1] of the way from `start` to `end` [..., d] on great circles.

    Equal fractions turn by equal angles, and lengths change evenly. Latents that point the same way, or opposite ways,
    where the great circle is not defined, get a straight line.
    """
    lengths = torch.stack([x.norm(dim=-1, keepdim=True) for x in (start, end)])
    a, b = start / lengths[0], end / lengths[1]
    angle = (a * b).sum(dim=-1, keepdim=True).clamp(-1, 1).acos()
    arc = (((1 - fractions) * angle).sin() * a + (fractions * angle).sin() * b) / angle.sin()
    points = arc * torch.lerp(lengths[0], lengths[1], fractions)
    return torch.where(angle.sin() < 1e-6, torch.lerp(start, end, fractions), points)


def generate(
    generator: nn.Module,
    seeds: Sequence[int],
    *,
    labels: Tensor | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
    noise_mode: str = "const",
    batch_size: int = 64,
    device: torch.device | str | None = None,
    require_finite: bool = False,
) -> Iterator[Tensor]:
    """Generate one image per seed, in batches of uint8 [n, H, W, C] on `device`.

    The generator runs in eval mode and inference mode; every submodule's training flag is restored once the iterator
    is exhausted or closed. It must already live on `device`.

    Args:
        generator: has `z_dim`, `num_classes` and `forward(z, labels, truncation_psi=, noise_mode=)` -> [N, C, H, W]
            in [-1, 1].
        seeds: one per image (see `latents`); of a range or another sequence only a batch is looked at at a time.
        labels: class indices int64 [N]; None draws them from the seeds if the generator has classes, of which some
            had images as far as its `classes` tell.
        truncation_psi: 1 leaves latents alone, 0 gives the mean image.
        truncation_cutoff: how many layers of a generator with a mapping network are truncated, the first ones; all by
            default.
        noise_mode: "const", "none", or "random", with which images depend on torch's global generator too; a generator
            built without noise warns of the latter two, which change nothing.
        batch_size: images per batch, at least 1.
        device: where to run; None is where the generator's parameters are.
        require_finite: refuse images with NaN or infinity, which would turn into black or white pixels.

    Raises:
        ValueError: labels whose number or range does not fit, a batch size below 1, a cutoff for a generator without a
            mapping network, or (while iterating) truncation that the generator does not have and, with
            `require_finite`, images that are not finite.
    """
    num_classes = int(generator.num_classes)  # type: ignore[arg-type]
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is not a number of images: it must be 1 or more.")
    if labels is not None:
        _check_labels(labels, len(seeds), num_classes)
    if noise_mode != "const" and not getattr(generator, "has_noise", True):
        warnings.warn(f"noise_mode {noise_mode!r} has no effect: this generator was built without noise", stacklevel=2)
    if device is None:
        device = next((p.device for p in generator.parameters()), torch.device("cpu"))
    settings: dict[str, Any] = {"truncation_psi": truncation_psi, "noise_mode": noise_mode}
    if truncation_cutoff is not None:
        check_has_mapping(generator, "truncation_cutoff")
        settings["truncation_cutoff"] = truncation_cutoff
    return _batches(generator, seeds, labels, settings, batch_size, torch.device(device), require_finite)


def _batches(
    generator: nn.Module,
    seeds: Sequence[int],
    labels: Tensor | None,
    settings: dict[str, Any],
    batch_size: int,
    device: torch.device,
    require_finite: bool,
) -> Iterator[Tensor]:
    z_dim = int(generator.z_dim)  # type: ignore[arg-type]
    dtype = next((p.dtype for p in generator.parameters()), torch.float32)
    with evaluating(generator):
        for start in range(0, len(seeds), batch_size):
            stop = start + batch_size
            z = latents(seeds[start:stop], z_dim).to(device, dtype)
            classes = drawn_classes(generator, seeds[start:stop]) if labels is None else labels[start:stop]
            classes = None if classes is None else classes.to(device)
            # entered per batch: around the yield it would leak into the caller's code
            with torch.inference_mode():
                images = generator(z, classes, **settings)
                if require_finite:
                    _check_finite(images, seeds[start:stop])
                images = to_uint8(images)
            yield images


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode inside of the block; every submodule's training flag is restored after it."""
    was_training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in was_training.items():
            module.training = training


class _Stream:
    """Random numbers of a seed: torch's, whose CPU generator reads 32 bits of it, and NumPy's for larger ones."""

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < SEEDS:
            raise ValueError(f"seed {seed} is out of range: expected 0 to 2^63 - 1")
        self.seed = seed
        small = seed < 2**32
        self._source = torch.Generator().manual_seed(seed) if small else np.random.default_rng(seed)

    def of_class(self) -> "_Stream":
        """The stream that draws the class."""
        return _Stream(self.seed ^ _LABEL_STREAM)

    def normal(self, count: int) -> Tensor:
        """Standard normal numbers, float32 [count]."""
        if isinstance(self._source, torch.Generator):
            return torch.randn(count, generator=self._source)
        return torch.from_numpy(self._source.standard_normal(count, np.float32))

    def uniform(self) -> float:
        """A number from 0 to below 1."""
        if isinstance(self._source, torch.Generator):
            return float(torch.rand((), generator=self._source, dtype=torch.float64))
        return float(self._source.random())

    def below(self, limit: int) -> int:
        """An integer from 0 to below `limit`."""
        if isinstance(self._source, torch.Generator):
            return int(torch.randint(limit, (), generator=self._source))
        return int(self._source.integers(limit))


def _check_finite(images: Tensor, seeds: Sequence[int]) -> None:
    bad = ~torch.isfinite(images).flatten(1).all(dim=1)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(seeds)} generated images hold NaN or infinity, for instance that of seed "
            f"{seeds[int(bad.nonzero()[0])]}: the generator has diverged. Take an earlier checkpoint."
        )


def _check_labels(labels: Tensor, num_seeds: int, num_classes: int) -> None:
    if num_classes == 0:
        raise ValueError("labels were given to a generator without classes (num_classes 0). Leave labels out.")
    if labels.shape != (num_seeds,):
        raise ValueError(
            f"labels have shape {tuple(labels.shape)} for {num_seeds} seeds: expected one class index per seed, "
            f"({num_seeds},). Pass indices, not one-hot rows."
        )
    labels = labels[:1] if labels.stride() == (0,) else labels  # one class for any number of images
    if num_seeds and (int(labels.min()) < 0 or int(labels.max()) >= num_classes):
        raise ValueError(
            f"labels range from {int(labels.min())} to {int(labels.max())}: the generator has classes 0 to "
            f"{num_classes - 1}."
        )
