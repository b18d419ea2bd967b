"""Features of images: shared out over ranks in chunks that are kept on disk."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from dualgan.evaluation.chunks import ChunkFolder, batches_of, own_chunks
from dualgan.evaluation.images import BATCH_SIZE, Images, ReferenceSet, SetImages
from dualgan.files.atomic import cache_root
from dualgan.metrics import FeatureExtractor
from dualgan.runtime.distributed import rank, world_size

logger = logging.getLogger("dualgan.evaluation")

_CACHE_FORMAT = 3

Rows = dict[str, Tensor]
T = TypeVar("T")


class Progress(Protocol):
    """Is told of what is done."""

    def __call__(self, count: int, stage: str, /) -> object:
        """Count images, or paths, of a stage: "generated images", "real images", "paths", "scores" (0 of these)."""


@dataclass(frozen=True)
class View:
    """How a network sees images.

    Attributes:
        width: number of features d.
        features: maps uint8 images [n, H, W, C] and the position of the first of them to float32 [n, d] on the CPU.
    """

    width: int
    features: Callable[[Tensor, int], Tensor]


def view_of(extractor: FeatureExtractor, device: torch.device | str) -> View:
    """How an extractor sees images on a device, where it is moved."""
    extractor.to(device)
    return View(extractor.dim, lambda images, first: extractor(images.to(device)).cpu())


def feature_chunks(
    images: Images,
    views: Mapping[str, View],
    name: str,
    folder: ChunkFolder,
    batch_size: int,
    progress: Progress | None = None,
) -> Iterator[Rows]:
    """Yield this rank's features chunk by chunk in their order, under the name of each view.

    Chunks that `folder` holds are read, others computed and saved there.

    Args:
        images: what to look at.
        views: which features to make, all of them in one pass.
        name: of the images in errors, "real" or "generated".
        folder: keeps finished chunks.
        batch_size: images per batch, at most.
        progress: told the number of images and their stage after each batch and each chunk that was read.

    Raises:
        ValueError: features that are not finite.
    """
    stage = f"{name} images" if name in ("real", "generated") else "paths"

    def report(count: int) -> None:
        if progress is not None:
            progress(count, stage)

    chunks, widths = own_chunks(images.count), {name: view.width for name, view in views.items()}
    stored = set(folder.stored(chunks, widths))
    missing = [chunk for chunk in chunks if chunk not in stored]
    batches = images.batches(batches_of(missing, batch_size)) if missing else iter(())
    for chunk in chunks:
        if chunk in stored:
            rows = folder.load(chunk)
            report(len(chunk))
        else:
            rows = _computed(chunk, batches, views, report)
            _check_finite(rows, name)
            folder.save(chunk, rows)
        yield rows
    for _ in batches:  # lets the sequence say that it has ended, or is too long
        raise ValueError(f"the {name} images are more than the {images.count} that were asked for.")


def _computed(
    chunk: range, batches: Iterator[Tensor], views: Mapping[str, View], report: Callable[[int], None]
) -> Rows:
    parts: dict[str, list[Tensor]] = {name: [] for name in views}
    done = 0
    while done < len(chunk):
        images = next(batches, None)
        if images is None:
            raise ValueError(f"the images end {len(chunk) - done} images too early.")
        for name, view in views.items():
            parts[name].append(view.features(images, chunk.start + done))
        done += len(images)
        report(len(images))
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def _check_finite(rows: Rows, name: str) -> None:
    for values in rows.values():
        bad = int((~torch.isfinite(values)).any(dim=1).sum())
        if bad:
            raise ValueError(
                f"{name} features hold NaN or infinity in {bad} of {len(values)} rows: a metric needs finite numbers. "
                "Check the weights of the network that made them, and the images."
            )


def together(work: Callable[[], T]) -> T:
    """Do this rank's part of some work; an error on one rank is one on all, so that none waits for another.

    Raises:
        ValueError: a rank has raised one.
        RuntimeError: another rank has raised another error.
    """
    if world_size() == 1:
        return work()
    error: Exception | None = None
    try:
        result = work()
    except Exception as caught:
        error = caught
    own = None if error is None else (isinstance(error, ValueError), str(error) or type(error).__name__)
    told: list[tuple[bool, str] | None] = [None] * world_size()
    dist.all_gather_object(told, own)
    if error is not None:
        raise error
    for other, problem in enumerate(told):
        if problem is not None:
            raise (ValueError if problem[0] else RuntimeError)(f"process {other}: {problem[1]}")
    return result


def real_chunks(
    reference: ReferenceSet,
    extractor: FeatureExtractor,
    num: int,
    cache_dir: str | Path | None = None,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """Yield this rank's features of `num` real images chunk by chunk, float32 [n, d], from the cache where they are.

    A cache file that cannot be used is replaced; a folder that cannot be written costs time, not the run.

    Args:
        reference: the real images.
        extractor: makes the features.
        num: number of images.
        cache_dir: root of the cache; None is $DUALGAN_CACHE, or ~/.cache/dualgan. Files go to its folder "features".
        device: where to extract.
        batch_size: images per batch.
        progress: told the number of images and their stage after each batch, and each chunk that was read.

    Raises:
        ValueError: the set yields another number of images.
    """
    folder = ChunkFolder(cache_folder(reference, extractor, num, cache_dir), "Cached features")
    views = {"features": view_of(extractor, device)}
    chunks = feature_chunks(SetImages(reference, num), views, "real", folder, batch_size, progress)
    return (rows["features"] for rows in chunks)


def available(num: int | None, size: int) -> int:
    """Number of images to take of a set: `num`, or all of them where they are no more, which is said."""
    if num is not None and num > size and rank() == 0:
        logger.warning(
            "num_real %d is more than the %d real images that there are: all of them are compared.", num, size
        )
    return size if num is None else min(num, size)


def checked_num(num: int | None, size: int, name: str = "num_real") -> int:
    """Number of images to take of a set: `num`, or all of them."""
    if num is None:
        return size
    if not 1 <= num <= size:
        raise ValueError(f"{name} {num} does not fit a set of {size} images: expected 1 to {size}.")
    return num


def cache_folder(reference: ReferenceSet, extractor: FeatureExtractor, num: int, cache_dir: str | Path | None) -> Path:
    """Folder of the features of `num` real images; another extractor, set or version has another one."""
    key = repr((reference.fingerprint, extractor.identity, num, _CACHE_FORMAT))
    return cache_root(cache_dir) / "features" / hashlib.sha256(key.encode()).hexdigest()[:32]
