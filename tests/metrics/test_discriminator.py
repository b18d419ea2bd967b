"""FDDF's features: batches, forms of images and references must not change what they are."""

import pytest
import torch
from torch import Tensor

from dualgan.metrics import discriminator_features, reference_indices
from dualgan.pictures.pixels import to_float
from tests.tiny import attending_discriminator, discriminator


def images(n: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (n, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_features_are_the_discriminators_last_hidden_layer() -> None:
    D = discriminator(resolution=8).train()
    batches = torch.split(images(24), 8)
    features = discriminator_features(D, batches)
    with torch.no_grad():
        wanted = torch.cat([D.features(to_float(part)) for part in batches])
    torch.testing.assert_close(features, wanted)
    torch.testing.assert_close(discriminator_features(D, [to_float(part) for part in batches]), features)
    assert D.training
    assert not features.requires_grad


def test_incomplete_batches_are_filled_with_their_own_images() -> None:
    D = discriminator(resolution=8)
    some = images(6)
    wanted = discriminator_features(D, [torch.cat([some, some[:2]])])[:6]
    torch.testing.assert_close(discriminator_features(D, [some]), wanted)


def test_each_image_meets_the_same_reference_in_any_share() -> None:
    D = attending_discriminator(resolution=8)
    shown, references = images(24), images(5, seed=1)
    whole = discriminator_features(D, torch.split(shown, 4), references=references)
    half = discriminator_features(D, torch.split(shown[12:], 4), references=references, first=12)
    torch.testing.assert_close(half, whole[12:])
    with torch.no_grad():
        wanted = D.features(to_float(shown[4:8]), None, to_float(references[[4, 0, 1, 2]]))
    torch.testing.assert_close(whole[4:8], wanted)
    with pytest.raises(ValueError, match="needs reference images"):
        discriminator_features(D, [shown])


def test_references_are_one_fixed_list() -> None:
    assert torch.equal(reference_indices(100, 10), reference_indices(100, 10))
    assert not torch.equal(reference_indices(100, 10), reference_indices(100, 10, seed=1))
    assert len(set(reference_indices(12, 12).tolist())) == 12
    with pytest.raises(ValueError, match="13 reference images do not fit a set of 12"):
        reference_indices(12, 13)


def test_labels_and_images_must_match() -> None:
    D = discriminator(resolution=8, num_classes=3)
    labels = torch.arange(8) % 3
    assert discriminator_features(D, torch.split(images(8), 4), labels).shape[0] == 8
    for wrong in (labels[:5], torch.cat([labels, labels])):
        with pytest.raises(ValueError, match="labels were given"):
            discriminator_features(D, torch.split(images(8), 4), wrong)
    with pytest.raises(ValueError, match="0 images"):
        discriminator_features(D, [])
