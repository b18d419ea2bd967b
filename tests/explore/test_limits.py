"""What networks cannot do is said once, shortly, and of two it is said which of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from dualgan.explore.engine import Explorer
from dualgan.explore.limits import limits, sentence
from dualgan.explore.studio import Studio
from tests import tiny
from tests.backbones import BACKBONES

MakeExplorer = Callable[..., Explorer]


def said(*explorers: Explorer) -> list[str]:
    return Studio(explorers, None).limits


def test_a_network_that_can_do_all_has_none(make_explorer: MakeExplorer) -> None:
    able = replace(make_explorer(num_classes=2).lacks, directions="")
    assert limits({"one": able}) == []


@pytest.mark.parametrize("name", ["R3GAN", "SNGAN", "BigGAN"])
def test_reasons_of_one_network_come_once(name: str, make_explorer: MakeExplorer) -> None:
    backbone = BACKBONES[name]
    lines = said(make_explorer(backbone.generator, backbone.discriminator, backbone.resolution))
    kind = type(backbone.generator(backbone.resolution, 3, 0)).__name__
    assert f"Truncation, style mixing, walks through w, directions: {kind} has no mapping network." in lines
    assert "Classes: it was trained without labels." in lines
    assert "Reference image: the discriminator has no reference attention." in lines
    assert ("Attention maps: this generator has no attention, so there is no map to draw." in lines) == (
        name != "BigGAN"
    )
    assert all(len(line) < 120 for line in lines)  # advice is left out


def test_no_discriminator_is_one_reason(make_explorer: MakeExplorer) -> None:
    lines = said(make_explorer(discriminator="a.safetensors holds no discriminator: expected a .ckpt file"))
    assert "D's logit, reference image: a.safetensors holds no discriminator." in lines


def test_of_two_networks_it_is_said_which(make_explorer: MakeExplorer) -> None:
    plain = partial(make_explorer, tiny.generator, tiny.discriminator)
    lines = said(make_explorer(name="one"), plain(name="two"))
    assert "Classes (both): it was trained without labels." in lines
    assert "Reference image (two): the discriminator has no reference attention." in lines
    assert "Attention maps (two): this generator has no attention, so there is no map to draw." in lines


@pytest.mark.parametrize("said", ["Check the path", "Check the path."])
def test_a_sentence_ends_once(said: str) -> None:
    assert sentence(said) == "Check the path."
