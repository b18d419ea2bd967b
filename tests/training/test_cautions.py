from functools import partial

import pytest
import torch

from dualgan.losses import DualContrastive, NonSaturating
from dualgan.networks import StyleGAN2Discriminator
from dualgan.networks.attention import SAN, ReferenceAttention
from dualgan.training.cautions import cautions, without_effect
from dualgan.training.schedule import Cosine, Linear
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


def test_penalties_that_are_off_have_no_place_in_the_main_step() -> None:
    off = tiny_gan(r1_gamma=0.0, path_length_weight=0.0, d_reg_interval=None, g_reg_interval=None)
    with pytest.warns(UserWarning, match="reg_interval null has no effect") as said:
        train(off, steps=1)
    assert [str(w.message)[:14] for w in said if "has no effect" in str(w.message)] == [
        "d_reg_interval",
        "g_reg_interval",
    ]
    on = tiny_gan(d_reg_interval=None, g_reg_interval=None)
    assert without_effect(on, on.penalties, on.path_length) == []


def test_schedules_that_are_longer_than_the_training_are_said_once_each() -> None:
    long, short = Linear(4.0, 0.0, 2.0), Cosine(0.1, 0.2, 1.0)
    gan = tiny_gan(learning_rate=long, ema_kimg=short, r1_gamma=long, betas=(0.0, Linear(0.5, 0.9, 2.0)))
    found = without_effect(gan, gan.penalties, gan.path_length)
    assert [text.split(" takes")[0] for text in found] == [
        "the schedule of r1's strength", "the schedule of learning_rate", "the schedule of betas"
    ]  # fmt: skip
    assert "2 kimg, longer than the training of total_kimg 1: it ends at 2 instead of 0" in found[0]
