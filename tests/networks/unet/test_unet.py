"""U-Net GAN's discriminator: published sizes, the encoder and the decoder, the logits and what they mean."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from dualgan.networks import BigGANDiscriminator, UNetDiscriminator


@pytest.mark.parametrize(("resolution", "millions"), [(128, 31.48), (256, 44.07)])
def test_sizes_are_the_published_ones(resolution: int, millions: float) -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in UNetDiscriminator(resolution).parameters())
    assert round(parameters / 1e6, 2) == millions


@pytest.mark.parametrize("resolution", [32, 64])
@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_logit_for_the_image_and_one_for_every_pixel(resolution: int, num_classes: int) -> None:
    D = UNetDiscriminator(resolution, 1, num_classes, width=1)
    images, labels = torch.rand(2, 1, resolution, resolution), torch.tensor([0, 2]) if num_classes else None
    whole, pixels = D(images, labels)
    assert whole.shape == (2,)
    assert pixels.shape == (2, resolution, resolution)
    assert D.trunk(images).shape == (2, 16, 4, 4)
    assert D.features(images).shape == (2, 16)
    (real, _), (_, fake) = D.eval().pair(images, images.flip(0), labels)
    torch.testing.assert_close(real, D(images, labels)[0])
    torch.testing.assert_close(fake, D(images.flip(0), labels)[1])


# Figure 2 of U-Net GAN
def test_the_decoder_sees_the_encoder_s_features_of_its_size() -> None:
    D = UNetDiscriminator(32, 3, 3, width=2).eval()
    images, labels = torch.rand(2, 3, 32, 32), torch.tensor([1, 2])
    at_16 = D.get_submodule("down16")(images)
    at_8 = D.get_submodule("down8")(at_16)
    at_4 = D.get_submodule("down4")(at_8)
    x = D.get_submodule("up8")(at_4)
    x = D.get_submodule("up16")(torch.cat([x, at_8], dim=1))
    x = D.get_submodule("up32")(torch.cat([x, at_16], dim=1))
    whole, pixels = D(images, labels)
    head: Any = D.pixel_head
    expected = F.conv2d(x, head.conv.weight, head.conv.bias).squeeze(1)
    expected = expected + (head.embedding.weight[labels][:, :, None, None] * x).sum(dim=1)
    torch.testing.assert_close(pixels, expected)
    torch.testing.assert_close(whole, D.head(F.relu(at_4).sum(dim=(2, 3)), labels))


def test_its_encoder_is_biggan_s_but_for_the_last_block() -> None:
    with torch.device("meta"):
        unet, biggan = UNetDiscriminator(128, width=1), BigGANDiscriminator(128, width=1)
        for ours, theirs in zip(unet.blocks, biggan.blocks[:-1], strict=True):
            shapes = [[p.shape for p in D.get_submodule(n).parameters()] for D, n in ((unet, ours), (biggan, theirs))]
            assert shapes[0] == shapes[1]


def test_the_image_s_logit_trains_the_encoder_alone() -> None:
    D = UNetDiscriminator(32, width=1)
    D(torch.rand(2, 3, 32, 32))[0].sum().backward()
    reached = {name.split(".")[0] for name, p in D.named_parameters() if p.grad is not None}
    assert reached == {*D.blocks, "head"}


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="UNetDiscriminator of resolution 16: it is defined for 32, 64, 128, 256"):
        UNetDiscriminator(16)
    with pytest.raises(ValueError, match="attention_resolution 32: its encoder's blocks give 4, 8, 16; choose one"):
        UNetDiscriminator(32, width=1, attention_resolution=32)
    with pytest.raises(ValueError, match="reference images were given"):
        UNetDiscriminator(32, width=1)(*torch.rand(1, 2, 3, 32, 32), None, torch.rand(2, 3, 32, 32))
