"""CutMix: masks, losses after the paper, and what D sees."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dualgan.augment import ADA
from dualgan.auxiliary import CutMix
from dualgan.auxiliary.cutmix import consistency_loss, masks, mixed_loss
from dualgan.networks import StyleGAN2Discriminator, UNetDiscriminator
from tests.backbones import BACKBONES
from tests.tiny import train
from tests.training.test_gan import weights

PLAIN: dict[str, Any] = {"r1_gamma": 0, "path_length_weight": 0, "fake_labels": "batch"}


def drawn(fraction: float, row: float, column: float, inverted: float, resolution: int = 8) -> Tensor:
    """The mask of four uniform numbers."""
    uniform = torch.tensor([[fraction, row, column, inverted]], dtype=torch.float64)
    return masks(torch.special.ndtri(uniform), resolution)[0]


def test_a_mask_is_a_box_around_a_pixel_as_far_as_it_lies_inside() -> None:
    mask = drawn(0.75, 0.51, 0.26, 0.1)  # an area of 1/4: 4x4 of 8x8 around row 4, column 2
    expected = torch.ones(8, 8, dtype=torch.float64)
    expected[2:6, 0:4] = 0
    assert torch.equal(mask, expected)
    assert torch.equal(drawn(0.75, 0.51, 0.26, 0.9), 1 - expected)
    corner = drawn(0.75, 0.01, 0.99, 0.1)
    expected = torch.ones(8, 8, dtype=torch.float64)
    expected[0:2, 5:8] = 0
    assert torch.equal(corner, expected)
    assert drawn(1 - 1e-9, 0.5, 0.5, 0.1).all()


def test_masks_are_each_image_s_own_and_half_real_on_the_average() -> None:
    found = masks(torch.randn(2000, 4, generator=torch.Generator().manual_seed(0)), 16)
    assert set(found.flatten().tolist()) == {0.0, 1.0}
    shares = found.mean(dim=(1, 2))
    assert abs(shares.mean() - 0.5) < 0.03
    assert len(set(shares.tolist())) > 50


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# U-Net GAN, Eq. 5 and 6, pixel by pixel
def test_losses_are_the_paper_s() -> None:
    mask = torch.tensor([[[1.0, 0], [0, 0]], [[1, 1], [0, 1]]])
    whole, pixels = torch.tensor([0.3, -2.0]), torch.randn(2, 2, 2)
    per_pixel = [
        -math.log(sigmoid(x) if real else 1 - sigmoid(x))
        for x, real in zip(pixels.flatten().tolist(), mask.flatten().tolist(), strict=True)
    ]
    expected = sum(-math.log(1 - sigmoid(x)) for x in (0.3, -2.0)) / 2 + sum(per_pixel) / 8
    torch.testing.assert_close(mixed_loss(whole, pixels, mask), torch.tensor(expected))
    of_real, of_fake = torch.randn(2, 2, 2, 2)
    difference = pixels - (mask * of_real + (1 - mask) * of_fake)
    torch.testing.assert_close(consistency_loss(pixels, of_real, of_fake, mask), (difference**2).mean())
    assert consistency_loss(mask * of_real + (1 - mask) * of_fake, of_real, of_fake, mask) < 1e-12


@pytest.mark.filterwarnings("ignore:fake_labels 'batch' has no effect")
@pytest.mark.parametrize("num_classes", [0, 3])
def test_d_sees_mixtures_of_augmented_images(num_classes: int) -> None:
    gan = BACKBONES["U-Net GAN"].gan(augmentation=ADA(p=0.9), num_classes=num_classes, **PLAIN)
    seen: list[Any] = []
    gan.discriminator.register_forward_pre_hook(lambda module, given: seen.append(given))
    train(gan, steps=1)
    ((images, labels, _),) = [given for given in seen if len(given[0]) == 24]
    real, fake, mixed = images.chunk(3)
    of_real, of_fake = ((mixed - kind).abs().amax(dim=1) < 1e-5 for kind in (real, fake))
    assert (of_real | of_fake).all()
    assert of_real.any()
    assert of_fake.any()
    if labels is not None:
        assert torch.equal(labels, (torch.arange(8) % 3).repeat(3))
    assert gan.latest["loss/cutmix"] > 0
    assert "loss/cutmix/generator" not in gan.latest  # G meets D as it is


@pytest.mark.filterwarnings("ignore:fake_labels 'batch' has no effect")
def test_it_changes_d_and_leaves_its_gradients_to_the_weights() -> None:
    with_it, without = (BACKBONES["U-Net GAN"].gan(auxiliary=tasks, **PLAIN) for tasks in ([CutMix], []))
    for gan in (with_it, without):
        train(gan, steps=1)
    differs = {name for name, value in weights(without).items() if not torch.equal(value, with_it.state_dict()[name])}
    assert any(name.startswith("discriminator.up32") for name in differs)
    assert not any(name.startswith("generator.") for name in differs)  # its step comes first


def test_what_it_needs_is_said() -> None:
    with pytest.raises(ValueError, match="needs a discriminator with a logit of every pixel, and StyleGAN2Discrimin"):
        CutMix(StyleGAN2Discriminator(8))
    with pytest.raises(ValueError, match="weight 0 and consistency 0 are out of range"):
        CutMix(UNetDiscriminator(32, width=1), weight=0, consistency=0)
