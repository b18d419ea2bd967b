"""What holds for every attention module."""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from dualgan.networks.attention import DFN, SAGAN, SAN, VT, ReferenceAttention
from tests.networks.attention.family import every_module, feature_map, make

styled = pytest.mark.parametrize("with_style", [False, True], ids=["plain", "styled"])
with_map = pytest.mark.parametrize("name", ["SAN", "SAN even", "SAGAN", "VT"])


def style(n: int, c: int) -> Tensor:
    return torch.randn(n, c, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 1


@every_module
@styled
def test_the_shape_stays_and_the_module_does_something(name: str, with_style: bool) -> None:
    x = feature_map(2, 8, 6, 4)
    y = make(name)(x, style(2, 8) if with_style else None)
    assert y.shape == x.shape
    assert not torch.allclose(y, x)


@every_module
def test_normalize_divides_module_and_residual_by_sqrt_2(name: str) -> None:
    module, x = make(name), feature_map(2, 8, 6, 6)
    y = module(x)
    module.normalize = True
    torch.testing.assert_close(module(x), y / math.sqrt(2))


@every_module
def test_the_style_matters_and_its_length_does_not(name: str) -> None:
    module, x, s = make(name), feature_map(2, 8, 6, 6), style(2, 8)
    y = module(x, s)
    assert not torch.allclose(y, module(x, s.flip(0)))
    # demodulation; up to its epsilon
    torch.testing.assert_close(module(x, 3 * s), y, rtol=1e-5, atol=1e-5)


@every_module
@styled
def test_samples_do_not_see_each_other(name: str, with_style: bool) -> None:
    module, x, s = make(name), feature_map(3, 8, 6, 6), style(3, 8)
    whole = module(x, s if with_style else None)
    for i in range(3):
        alone = module(x[i : i + 1], s[i : i + 1] if with_style else None)
        torch.testing.assert_close(alone, whole[i : i + 1])


@every_module
@styled
def test_two_orders_of_derivatives_agree_with_finite_differences(name: str, with_style: bool) -> None:
    module, x = make(name), feature_map(1, 8, 4, 4).requires_grad_()
    inputs = (x, style(1, 8).requires_grad_()) if with_style else (x,)
    assert gradcheck(module, inputs, fast_mode=True)
    assert gradgradcheck(module, inputs, fast_mode=True)


@every_module
@styled
def test_penalties_reach_every_weight(name: str, with_style: bool) -> None:
    module, x = make(name), feature_map(2, 8, 6, 6).requires_grad_()
    y = module(x, style(2, 8) if with_style else None)
    (gradient,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
    torch.autograd.backward(gradient.square().sum())
    for parameter_name, parameter in module.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.any(), parameter_name


@every_module
@pytest.mark.parametrize("name_of_layout", ["contiguous", "channels_last"])
def test_channels_last_stays_and_layout_does_not_change_results(name: str, name_of_layout: str) -> None:
    module, x = make(name, 16), feature_map(2, 16, 6, 6)
    expected = module(x)
    assert expected.is_contiguous(memory_format=torch.channels_last)
    if name_of_layout == "contiguous":
        torch.testing.assert_close(module(x.contiguous()), expected)


@every_module
@styled
def test_bfloat16_autocast_stays_close_to_float32(name: str, with_style: bool) -> None:
    module, x, s = make(name, 16).float(), feature_map(2, 16, 8, 8).float(), style(2, 16).float()
    exact = module(x, s if with_style else None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x.bfloat16().requires_grad_(), s if with_style else None)
    assert y.dtype == torch.bfloat16
    assert float(((y.float() - exact).norm() / exact.norm()).detach()) < 0.03
    torch.autograd.backward(y.float().square().sum())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@with_map
@styled
def test_maps_are_not_negative_and_follow_the_position(name: str, with_style: bool) -> None:
    module, x = make(name), feature_map(2, 8, 6, 6)
    maps = module.attention_map(x, [(0, 0), (2, 3), (5, 5)], style(2, 8) if with_style else None)
    assert maps.shape[:2] == (2, 3)
    assert (maps >= 0).all()
    assert not torch.allclose(maps[:, 0], maps[:, 1])
    if not name.startswith("SAN"):
        torch.testing.assert_close(maps.sum(dim=(2, 3)), torch.ones(2, 3, dtype=torch.float64))


def test_dfn_says_that_it_has_no_map() -> None:
    with pytest.raises(ValueError, match=r"DFN has no attention map.*SAN, SAGAN or VT"):
        make("DFN").attention_map(feature_map(1, 8, 6, 6), [(0, 0)])


@with_map
@pytest.mark.parametrize(("position", "message"), [((6, 0), r"\(6, 0\).*6 x 4.*0 to 5"), ((0, -1), r"\(0, -1\)")])
def test_a_position_outside_is_answered_with_the_size(name: str, position: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name).attention_map(feature_map(1, 8, 6, 4), [position])
    with pytest.raises(ValueError, match="at least one pair"):
        make(name).attention_map(feature_map(1, 8, 6, 4), [])


@every_module
def test_a_feature_map_of_other_channels_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(1, 4, 6, 6\).*\[N, 8, H, W\]"):
        make(name)(feature_map(1, 4, 6, 6))


def test_wrong_options_are_answered_with_right_ones() -> None:
    for cls, channels, message in ((SAN, 10, "SAN of 10 channels.*4"), (SAGAN, 12, "SAGAN of 12 channels.*8")):
        with pytest.raises(ValueError, match=message):
            cls(channels)
    with pytest.raises(ValueError, match="footprint 0 is not positive"):
        SAN(8, footprint=0)
    with pytest.raises(ValueError, match=r"footprint 9 .*4 x 6.*up to 7"):
        SAN(8, footprint=9)(torch.randn(1, 8, 4, 6))
    with pytest.raises(ValueError, match="bottleneck 0"):
        DFN(8, bottleneck=0)
    with pytest.raises(ValueError, match="0 tokens"):
        VT(8, tokens=0)


def test_parameters_are_as_many_as_designed() -> None:
    with torch.device("meta"):
        counts = {
            cls.__name__: sum(p.numel() for p in cls(512).parameters()) for cls in (SAN, SAGAN, DFN, ReferenceAttention)
        }
    assert counts["SAN"] == counts["ReferenceAttention"] == 2_022_400
    assert counts["SAGAN"] == 327_681
    assert counts["DFN"] == 132_149_304


@pytest.mark.parametrize("name", ["SAGAN", "VT"])
def test_softmax_modules_start_as_the_identity(name: str) -> None:
    module = {"SAGAN": SAGAN, "VT": VT}[name](16)
    x = torch.randn(2, 16, 6, 6)
    torch.testing.assert_close(module(x), x)
