"""FDDF: Frechet distance between the last hidden features of a discriminator, of real and of generated images.

A larger one means features that tell both apart better.
Source: Yu et al., "Dual Contrastive Loss and Attention for GANs", ICCV 2021, section 3.1 and Table 2.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dualgan.metrics.frechet import FEW, FrechetDistance
from dualgan.metrics.table import MetricSpec, Number, register
from dualgan.networks.sampling import evaluating
from dualgan.pictures.pixels import to_float


class DiscriminatorDistance(FrechetDistance):
    """FDDF, a float64 scalar: feed it with `discriminator_features` of the same references for both sets."""

    higher_is_better = None


_ABOUT = "Frechet distance of the discriminator's features"
register(MetricSpec("fddf", _ABOUT, (Number("fddf"),), DiscriminatorDistance, FEW, "hidden"))


def discriminator_features(
    discriminator: nn.Module,
    batches: Iterable[Tensor],
    labels: Tensor | None = None,
    references: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """Last hidden features, float32 [N, d] on the CPU, of the N images in all batches.

    Minibatch statistics make an image's features depend on its batch: compare sets in batches of the same size. A
    batch that does not split into whole minibatch-std groups is filled up with its own first images.

    Args:
        discriminator: has `features(images, labels, reference)` -> [n, d] for float images [n, C, R, R]. It runs in
            eval mode where its parameters are.
        batches: uint8 [n, H, W, C], or float [n, C, H, W] in [-1, 1]; none is empty.
        labels: class indices [N], for a discriminator that looks at them.
        references: K real images in either form, for a discriminator with reference attention: image i is seen with
            reference i modulo K. Take the same ones for real and generated images, see `reference_indices`.
        first: number i of the first image, where another process has those before.

    Raises:
        ValueError: no images, another number of labels, or images that do not suit the discriminator.
    """
    device = next(discriminator.parameters()).device
    group = max((int(getattr(module, "group_size", 1)) for module in discriminator.modules()), default=1)
    chunks: list[Tensor] = []
    done = 0
    with evaluating(discriminator):
        for images in batches:
            rows = torch.arange(-(-len(images) // group) * group) % len(images)
            shown = _as_float(images)[rows].to(device)
            classes = None if labels is None else _part(labels, done, len(images))[rows].to(device)
            reference = None
            if references is not None:
                reference = _as_float(references[(first + done + rows) % len(references)]).to(device)
            with torch.inference_mode():
                features: Tensor = discriminator.features(shown, classes, reference)  # type: ignore[operator]
            chunks.append(features[: len(images)].float().cpu())
            done += len(images)
    if not chunks or (labels is not None and len(labels) != done):
        raise ValueError(
            f"{done} images and {'no' if labels is None else len(labels)} labels were given for discriminator "
            "features: at least one image is needed, and one label per image where there are labels."
        )
    return torch.cat(chunks)


def reference_indices(dataset_size: int, count: int, seed: int = 0) -> Tensor:
    """Draw which real images serve as references: int64 [count], the same list for a seed everywhere.

    Raises:
        ValueError: a count that is not between 1 and the size of the set.
    """
    if not 1 <= count <= dataset_size:
        raise ValueError(
            f"{count} reference images do not fit a set of {dataset_size}: choose between 1 and {dataset_size}."
        )
    return torch.randperm(dataset_size, generator=torch.Generator().manual_seed(seed))[:count]


def _as_float(images: Tensor) -> Tensor:
    return to_float(images) if images.dtype == torch.uint8 else images


def _part(labels: Tensor, start: int, count: int) -> Tensor:
    part = labels[start : start + count]
    if len(part) < count:
        raise ValueError(f"{len(labels)} labels were given for more images: pass one label per image.")
    return part
