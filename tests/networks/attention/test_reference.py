from collections.abc import Sequence
from typing import Literal, get_args

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from dualgan.networks.attention import SAN, ReferenceAttention
from tests.networks.attention.family import feature_map, switch_on

Name = Literal["eq8", "eq1", "eq2"]
NAMES: Sequence[Name] = get_args(Name)
every_form = pytest.mark.parametrize("sources", NAMES)


def make(sources: Name) -> ReferenceAttention:
    torch.manual_seed(0)
    module = ReferenceAttention(8, sources, footprint=3)
    switch_on(module)
    return module.double()


def pair() -> tuple[Tensor, Tensor]:
    both = feature_map(4, 8, 6, 5)
    return both[:2], both[2:]


@every_form
def test_of_an_image_to_itself_is_self_attention(sources: Name) -> None:
    module, san = make(sources), SAN(8, footprint=3).double()
    san.load_state_dict(module.state_dict())
    primary, _ = pair()
    torch.testing.assert_close(module(primary, primary), san(primary))


@every_form
def test_both_images_matter(sources: Name) -> None:
    module, (primary, reference) = make(sources), pair()
    out = module(primary, reference)
    assert not torch.allclose(out, module(primary, reference.flip(0)))
    assert not torch.allclose(out, module(primary.flip(0), reference))


def test_the_forms_differ() -> None:
    outputs = [make(sources)(*pair()) for sources in NAMES]
    for i in range(3):
        assert not torch.allclose(outputs[i], outputs[i - 1])


def test_weights_of_eq8_depend_on_the_reference_alone() -> None:
    primary, reference = pair()
    maps = {sources: make(sources).attention_map(primary, reference, [(2, 3)]) for sources in NAMES}
    moved = {sources: make(sources).attention_map(primary.flip(0), reference, [(2, 3)]) for sources in NAMES}
    assert torch.equal(maps["eq8"], moved["eq8"])
    for sources in ("eq1", "eq2"):
        assert not torch.allclose(maps[sources], moved[sources])
    assert maps["eq8"].shape == (2, 1, 3, 3)


def test_eq8_is_linear_in_the_values_of_the_primary_image() -> None:
    module, (primary, reference) = make("eq8"), pair()
    with torch.no_grad():
        assert module.value.bias is not None
        module.value.bias.zero_()
    torch.testing.assert_close(module(2 * primary, reference), 2 * module(primary, reference))


@every_form
def test_eq1_alone_takes_nothing_but_keys_and_the_residual_from_the_primary_image(sources: Name) -> None:
    module, (primary, reference) = make(sources), pair()
    with torch.no_grad():
        module.weights.key_weight.zero_()
    aggregated = module(primary, reference) - primary
    moved = module(primary.flip(0), reference) - primary.flip(0)
    assert torch.allclose(aggregated, moved) == (sources == "eq1")


@every_form
def test_two_orders_of_derivatives_agree_with_finite_differences(sources: Name) -> None:
    primary, reference = (x[:1, :, :4, :4].detach().requires_grad_() for x in pair())
    assert gradcheck(make(sources), (primary, reference), fast_mode=True)
    assert gradgradcheck(make(sources), (primary, reference), fast_mode=True)


def test_mistakes_are_answered_with_what_is_expected() -> None:
    with pytest.raises(ValueError, match=r"'eq3'.*eq8, eq1, eq2"):
        ReferenceAttention(8, "eq3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(2, 8, 6, 5\).*\(1, 8, 6, 5\).*every primary image"):
        make("eq8")(pair()[0], pair()[1][:1])
    with pytest.raises(ValueError, match="footprint 3 is too large"):
        make("eq8")(torch.zeros(1, 8, 1, 1), torch.zeros(1, 8, 1, 1))


@every_form
def test_kinds_of_primaries_share_their_references(sources: Name) -> None:
    module, primary, reference = make(sources), feature_map(4, 8, 6, 5), feature_map(2, 8, 6, 5).flip(3)
    expected = module(primary, torch.cat([reference, reference]))
    torch.testing.assert_close(module(primary, reference, kinds=2), expected)
    with pytest.raises(ValueError, match=r"\(4, 8, 6, 5\).*\(1, 8, 6, 5\).*shared by 2 kinds"):
        module(primary, reference[:1], kinds=2)
