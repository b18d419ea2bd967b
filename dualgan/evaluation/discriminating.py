"""How a checkpoint's discriminator sees images, for FDDF."""

from typing import Any

import torch
from torch import Tensor, nn

from dualgan.evaluation.chunks import ChunkFolder
from dualgan.evaluation.features import Progress, View, feature_chunks
from dualgan.evaluation.images import BATCH_SIZE, Images, ReferenceSet, SetImages, images_of
from dualgan.evaluation.scoring import HIDDEN, Scores
from dualgan.metrics import discriminator_features, reference_indices

_REFERENCES = 1024  # images that a discriminator with reference attention sees beside the others


def discriminator_view(
    discriminator: nn.Module, reference: ReferenceSet, seed: int, device: torch.device | str
) -> View:
    """Last hidden features of a discriminator; images meet the same seeded references in every set.

    Args:
        discriminator: see `dualgan.metrics.discriminator_features`; lives on `device`.
        reference: where reference images come from, if the discriminator takes any.
        seed: of the references.
        device: where to run.
    """
    count = _num_references(discriminator, reference)
    references = _references(reference, count, seed) if count else None

    def features(images: Tensor, first: int) -> Tensor:
        return discriminator_features(discriminator, [images.to(device)], references=references, first=first)

    resolution, channels = int(discriminator.resolution), int(discriminator.num_channels)  # type: ignore[arg-type]
    one = torch.zeros(1, resolution, resolution, channels, dtype=torch.uint8)
    return View(features(one, 0).shape[1], features)


def fddf_record(discriminator: nn.Module | None, reference: ReferenceSet, batch_size: int) -> dict[str, Any]:
    """What FDDF depends on besides the images, for the record."""
    assert discriminator is not None, "its features have been compared"
    return {"fddf_references": _num_references(discriminator, reference), "fddf_batch_size": batch_size}


def hidden_features(
    generator: nn.Module,
    discriminator: nn.Module,
    reference: ReferenceSet,
    num_fake: int,
    num_real: int,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor, float]:
    """Features of real images, float32 [num_real, d], of generated ones, [num_fake, d], and their FDDF.

    It is the number that `dualgan.evaluation.evaluate` gives for the same arguments. For one process.

    Args:
        generator: see `evaluate`.
        discriminator: see `discriminator_view`.
        reference: the real images.
        num_fake: images to generate.
        num_real: real images.
        seed: of the images and of the references.
        device: where the networks are.
        progress: told the number of images and their stage after each batch.

    Raises:
        ValueError: see `evaluate`.
    """
    views = {HIDDEN: discriminator_view(discriminator, reference, seed, device)}
    sets: dict[str, Images] = {
        "generated": images_of(generator, reference, num_fake, seed, device=device),
        "real": SetImages(reference, num_real),
    }
    scores, seen = Scores(("fddf",), None, min(num_fake, num_real), seed, device), {}
    for name, images in sets.items():
        chunks = list(feature_chunks(images, views, name, ChunkFolder(None, ""), BATCH_SIZE, progress))
        scores.feed(chunks, views, real=name == "real")
        seen[name] = torch.cat([rows[HIDDEN] for rows in chunks])
    return seen["real"], seen["generated"], scores.values()["fddf"]


def _num_references(discriminator: nn.Module, reference: ReferenceSet) -> int:
    return min(_REFERENCES, reference.dataset_size) if getattr(discriminator, "takes_reference", False) else 0


def _references(reference: ReferenceSet, count: int, seed: int) -> Tensor:
    size = reference.dataset_size
    indices = reference_indices(size, count, seed).tolist()
    return torch.cat(list(SetImages(reference, size).batches([range(i, i + 1) for i in indices])))
