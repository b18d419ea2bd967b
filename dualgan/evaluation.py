"""Score a generator against real images. Trainer-agnostic: a callback and a command both call `evaluate`."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dualgan.metrics import (
    DensityCoverage,
    FeatureExtractor,
    FeatureMetric,
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
)
from dualgan.ops import rank, world_size
from dualgan.sampling import generate

logger = logging.getLogger(__name__)

SEEDS_PER_RUN = 2**20  # evaluation seed s owns the image seeds s * 2**20, ..., (s + 1) * 2**20 - 1
_KERNEL_SUBSET_SIZE, _KERNEL_SUBSETS = 1000, 100  # the field's values
_CACHE_FORMAT = 2

Progress = Callable[[int], object]


class ReferenceSet(Protocol):
    """Real images that can be told from any other set of real images."""

    @property
    def fingerprint(self) -> str:
        """Text that changes whenever the images or their preprocessing do."""

    @property
    def dataset_size(self) -> int:
        """Number of images."""

    def reference_dataloader(self, num: int | None, batch_size: int) -> Iterable[Any]:
        """Batches of `num` images in a fixed order: objects with `.images`, uint8 [N, H, W, C], or tuples of it."""


@dataclass(frozen=True)
class Evaluation:
    """Scores and where they come from.

    Attributes:
        values: by the metric's reported name, for instance "fid" or "fd_efficientnet_lite0".
        provenance: what a reader needs to repeat or to distrust the numbers; plain JSON types.
    """

    values: dict[str, float]
    provenance: dict[str, Any]


def extract(
    batches: Iterable[Tensor],
    extractor: FeatureExtractor,
    device: torch.device | str,
    progress: Progress | None = None,
) -> Tensor:
    """Extract features, float32 [N, d] on the CPU, from uint8 batches [n, H, W, C].

    The extractor is moved to `device`. `progress` is told the number of images after each batch.
    """
    extractor.to(device)
    chunks = [torch.empty(0, extractor.dim)]
    for images in batches:
        chunks.append(extractor(images.to(device)).cpu())
        if progress is not None:
            progress(len(images))
    return torch.cat(chunks)


def real_features(
    reference: ReferenceSet,
    extractor: FeatureExtractor,
    num: int | None = None,
    cache_dir: str | Path | None = None,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Tensor:
    """Features of `num` real images (None: all), float32 [num, d] on the CPU, from the cache if they are there.

    A cache file that cannot be used is replaced; a folder that cannot be written costs time, not the run.

    Args:
        reference: the real images.
        extractor: makes the features.
        num: number of images.
        cache_dir: root of the cache; None is $DUALGAN_CACHE, or ~/.cache/dualgan. Files go to its folder "features".
        device: where to extract.
        batch_size: images per batch.
        progress: told the number of images after each batch.

    Raises:
        ValueError: `num` is not between 1 and the size of the set, or the set yields another number of images.
    """
    num = _checked_num(num, reference.dataset_size)
    path = _cache_path(reference, extractor, num, cache_dir)
    cached = _read_cache(path, (num, extractor.dim))
    if cached is not None:
        return cached
    batches = (_images(batch) for batch in reference.reference_dataloader(num, batch_size))
    features = extract(batches, extractor, device, progress)
    if len(features) != num:
        raise ValueError(
            f"the reference set yielded {len(features)} images instead of {num}: its dataset_size "
            f"{reference.dataset_size} or its reference_dataloader is wrong."
        )
    _write_cache(path, features)
    return features


def evaluate(
    generator: nn.Module,
    reference: ReferenceSet,
    extractor: FeatureExtractor,
    *,
    num_fake: int,
    num_real: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    truncation_psi: float = 1.0,
    noise_mode: str = "const",
    metrics: Sequence[str] = ("frechet", "kernel"),
    ema: bool | None = None,
    device: torch.device | str = "cpu",
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a generator against real images; all ranks must call it and all get the same result.

    Ranks share the images out in whole batches, so the batches, their order and with them the result do not depend on
    the number of ranks. Classes, if any, are drawn uniformly from the seeds.

    Args:
        generator: as `dualgan.sampling.generate` wants it; lives on `device`.
        reference: the real images.
        extractor: makes the features and names the metrics.
        num_fake: images to generate, 2 to 2**20, from the seeds seed * 2**20, seed * 2**20 + 1, ...
        num_real: real images to compare with; None takes all.
        batch_size: images per batch and rank.
        seed: of the evaluation, for the images as well as for KID's subsets, 0 to 4095: torch's CPU generator knows
            2**32 image seeds.
        truncation_psi: for the generator.
        noise_mode: for the generator; with "random" the result depends on torch's generator and the number of ranks.
        metrics: any of "frechet", "kernel", "precision", "recall", "density", "coverage".
        ema: whether the generator holds averaged weights; only recorded.
        device: where to run.
        cache_dir: root of the cache of real features, see `real_features`.
        progress: told the number of images after each batch of this rank.

    Raises:
        ValueError: an unknown metric, or numbers of images that do not fit.
    """
    names = {kind: extractor.metric_name(kind) for kind in metrics}
    _check_fakes(num_fake, seed)
    num_real = _checked_num(num_real, reference.dataset_size)
    _warn_if_singular(metrics, extractor, num_real, num_fake)
    load = partial(real_features, reference, extractor, num_real, cache_dir, device=device, batch_size=batch_size)
    real = _rank_zero_first(partial(load, progress=progress))
    seeds = range(seed * SEEDS_PER_RUN, seed * SEEDS_PER_RUN + num_fake)[_share(num_fake, batch_size)]
    images = generate(
        generator, seeds, truncation_psi=truncation_psi, noise_mode=noise_mode, batch_size=batch_size, device=device
    )
    fake = extract(images, extractor, device, progress)
    subset_size = min(_KERNEL_SUBSET_SIZE, num_real, num_fake)
    scores = _score(metrics, real[_share(num_real, batch_size)], fake, subset_size, seed, device)
    provenance = {
        "real_fingerprint": reference.fingerprint, "real_size": reference.dataset_size, "num_real": num_real,
        "num_fake": num_fake, "resize_filter": getattr(reference, "resize_filter", None), "extractor": extractor.name,
        "extractor_size": getattr(extractor, "size", None), "weight_hash": extractor.weight_hash, "ema": ema,
        "truncation_psi": truncation_psi, "noise_mode": noise_mode, "seed": seed,
    }  # fmt: skip
    if "kernel" in metrics:
        provenance |= {"kernel_subset_size": subset_size, "kernel_num_subsets": _KERNEL_SUBSETS}
    return Evaluation({names[kind]: scores[kind] for kind in metrics}, provenance)


def _score(
    metrics: Sequence[str], real: Tensor, fake: Tensor, subset_size: int, seed: int, device: torch.device | str
) -> dict[str, float]:
    """Score this rank's shares, one metric object at a time: each gathers its own copy of all features."""
    families: dict[tuple[str, ...], Callable[[], FeatureMetric]] = {
        ("frechet",): FrechetDistance,
        ("kernel",): partial(KernelDistance, subset_size=subset_size, num_subsets=_KERNEL_SUBSETS, seed=seed),
        ("precision", "recall"): PrecisionRecall,
        ("density", "coverage"): DensityCoverage,
    }
    scores: dict[str, float] = {}
    for kinds, make in families.items():
        if set(kinds).isdisjoint(metrics):
            continue
        metric = make().to(device)
        metric.update(real, real=True)
        metric.update(fake, real=False)
        result = metric.compute()
        values = result if isinstance(result, tuple) else (result,)
        scores |= {kind: float(value) for kind, value in zip(kinds, values, strict=True)}
    return scores


def _share(count: int, batch_size: int) -> slice:
    """Return this rank's part of `count` items: consecutive whole batches, so that rank order is item order."""
    num_batches = -(-count // batch_size)
    first, last = (r * num_batches // world_size() for r in (rank(), rank() + 1))
    return slice(first * batch_size, min(last * batch_size, count))


def _rank_zero_first(load: Callable[[], Tensor]) -> Tensor:
    """Let rank 0 fill the cache while the others wait; a rank that does not see its file then computes for itself."""
    if world_size() == 1:
        return load()
    if rank() == 0:
        try:
            return load()
        finally:
            dist.barrier()
    dist.barrier()
    return load()


def _warn_if_singular(metrics: Sequence[str], extractor: FeatureExtractor, num_real: int, num_fake: int) -> None:
    if "frechet" not in metrics or rank() != 0:
        return
    for name, count in (("generated", num_fake), ("real", num_real)):
        if count < extractor.dim:
            logger.warning(
                "%d %s images are fewer than the %d dimensions of %s: their covariance is singular and %s is biased "
                "upward. Compare it only with numbers from the same counts.",
                count, name, extractor.dim, extractor.name, extractor.metric_name("frechet"),
            )  # fmt: skip


def _checked_num(num: int | None, size: int) -> int:
    if num is None:
        return size
    if not 1 <= num <= size:
        raise ValueError(f"num_real {num} does not fit a reference set of {size} images: expected 1 to {size}.")
    return num


def _check_fakes(num_fake: int, seed: int) -> None:
    if not 0 <= seed < 2**32 // SEEDS_PER_RUN:
        raise ValueError(f"seed {seed} is out of range: an evaluation has seeds 0 to {2**32 // SEEDS_PER_RUN - 1}.")
    if not 2 <= num_fake <= SEEDS_PER_RUN:
        raise ValueError(f"num_fake {num_fake} is out of range: expected 2 to {SEEDS_PER_RUN} images; 50000 is usual.")


def _images(batch: Any) -> Tensor:
    if isinstance(batch, Tensor):
        return batch
    images: Tensor = batch.images if hasattr(batch, "images") else batch[0]
    return images


def _cache_path(reference: ReferenceSet, extractor: FeatureExtractor, num: int, cache_dir: str | Path | None) -> Path:
    if cache_dir is None:
        cache_dir = os.environ.get("DUALGAN_CACHE") or Path.home() / ".cache" / "dualgan"
    size = getattr(extractor, "size", None)
    key = repr((reference.fingerprint, extractor.name, extractor.weight_hash, size, num, _CACHE_FORMAT))
    return Path(cache_dir) / "features" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"


def _read_cache(path: Path, shape: tuple[int, int]) -> Tensor | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            features: Tensor = file.get_tensor("features")
    except (SafetensorError, OSError) as error:
        logger.warning("Cached features %r are unreadable (%s): computing them again.", path.name, error)
        return None
    if features.shape != shape:
        logger.warning("Cached features %r have shape %s: computing them again.", path.name, tuple(features.shape))
        return None
    return features


def _write_cache(path: Path, features: Tensor) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # readers must never see half a file, and several processes may write the same one
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            partial_file = Path(folder) / path.name
            save_file({"features": features}, partial_file)
            partial_file.replace(path)
    except OSError as error:
        logger.warning("Real features could not be cached in %r (%s): going on without.", str(path.parent), error)
