from functools import partial

import pytest
import torch

from dualgan.losses import DualContrastive, NonSaturating
from dualgan.networks import StyleGAN2Discriminator
from dualgan.networks.attention import SAN, ReferenceAttention
from dualgan.training.cautions import cautions
from tests.tiny import attending_gan, discriminator, tiny_gan, train


def test_what_the_paper_found_unstable_is_said_before_training() -> None:
    gan = attending_gan(loss=DualContrastive())
    with pytest.warns(UserWarning, match=r"'sometimes not compatible'.*Table 7") as said:
        train(gan, steps=1)
    assert len([w for w in said if "compatible" in str(w.message)]) == 1
    at_16 = partial(discriminator, attention=partial(ReferenceAttention, footprint=3), attention_resolution=16)
    with pytest.warns(UserWarning, match=r"attention_resolution 16.*'the training turns easily diverging'.*Table 6"):
        train(tiny_gan(16, discriminator=at_16), steps=1)


def test_nothing_is_said_about_what_works() -> None:
    with torch.device("meta"):
        eight = StyleGAN2Discriminator(32, attention=ReferenceAttention, attention_resolution=8)
        own = StyleGAN2Discriminator(32, attention=SAN, attention_resolution=16)
    assert cautions(eight, NonSaturating(), 10, 0) == []
    assert cautions(own, DualContrastive(), 10, 10) == []


def test_a_cooldown_that_is_longer_than_the_training_is_said() -> None:
    with pytest.warns(
        UserWarning, match=r"cooldown_kimg 0\.1 is longer .* total_kimg 0\.025: .* 25 % of learning_rate"
    ):
        train(tiny_gan(total_kimg=0.025, cooldown_kimg=0.1), steps=1)
