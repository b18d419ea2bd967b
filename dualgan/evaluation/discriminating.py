"""How a checkpoint's discriminator sees images, for FDDF."""

import torch
from torch import Tensor, nn

from dualgan.evaluation.features import View
from dualgan.evaluation.images import ReferenceSet, SetImages
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
    references = _references(reference, seed) if getattr(discriminator, "takes_reference", False) else None

    def features(images: Tensor, first: int) -> Tensor:
        return discriminator_features(discriminator, [images.to(device)], references=references, first=first)

    resolution, channels = int(discriminator.resolution), int(discriminator.num_channels)  # type: ignore[arg-type]
    one = torch.zeros(1, resolution, resolution, channels, dtype=torch.uint8)
    return View(features(one, 0).shape[1], features)


def _references(reference: ReferenceSet, seed: int) -> Tensor:
    size = reference.dataset_size
    indices = reference_indices(size, min(_REFERENCES, size), seed).tolist()
    return torch.cat(list(SetImages(reference, size).batches([range(i, i + 1) for i in indices])))
