from collections.abc import Callable
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.losses import R1
from dualgan.networks import StyleGAN2Discriminator, convolution
from dualgan.networks.convolution import SAME, Geometry, convolve
from dualgan.networks.cpu import columns, matrix_products, winograd

# name -> geometry, shape of x, shape of the weight, whether its forward pass takes a shorter way too
CASES = {
    "square": (SAME, (4, 96, 16, 16), (96, 96, 3, 3), True),
    "widening": (SAME, (2, 96, 32, 16), (128, 96, 3, 3), True),
    "medium": (SAME, (4, 64, 16, 16), (64, 64, 3, 3), False),
    "medium, large map": (SAME, (1, 64, 64, 64), (64, 64, 3, 3), True),
    "narrow, large map": (SAME, (1, 32, 64, 64), (32, 32, 3, 3), False),
    "narrow, large map, strided": (Geometry(stride=2), (1, 32, 65, 65), (64, 32, 3, 3), False),
    "small map": (SAME, (4, 96, 4, 4), (96, 96, 3, 3), False),
    "uneven map": (SAME, (4, 64, 6, 10), (64, 64, 3, 3), False),
    "strided": (Geometry(stride=2), (4, 64, 17, 17), (96, 64, 3, 3), False),
    "transposed": (Geometry(stride=2, transposed=True), (4, 64, 8, 8), (64, 96, 3, 3), False),
}
every_case = pytest.mark.parametrize("case", CASES)


def tensors(case: str, layout: torch.memory_format = torch.channels_last) -> tuple[Tensor, Tensor, Geometry]:
    geometry, x_shape, weight_shape, _ = CASES[case]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(x_shape, generator=generator).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(weight_shape, generator=generator).contiguous(memory_format=layout).requires_grad_()
    return x, weight, geometry


def pytorch_convolve(x: Tensor, weight: Tensor, geometry: Geometry, bias: Tensor | None = None) -> Tensor:
    operator = F.conv_transpose2d if geometry.transposed else F.conv2d
    return operator(x, weight, bias, stride=geometry.stride, padding=geometry.padding)


def difference(ours: Tensor, exact: Tensor) -> float:
    return float(((ours.double() - exact).norm() / exact.norm()).detach())


@every_case
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients_agree_with_float64(case: str, layout: torch.memory_format) -> None:
    x, weight, geometry = tensors(case, layout)
    bias = torch.randn(weight.shape[1 if geometry.transposed else 0], requires_grad=True)
    exact = [value.detach().double().requires_grad_() for value in (x, weight, bias)]
    y, y64 = convolve(x, weight, geometry, bias), pytorch_convolve(exact[0], exact[1], geometry, exact[2])
    dy = torch.randn(y.shape)
    ours = torch.autograd.grad(y, (x, weight, bias), dy)
    theirs = torch.autograd.grad(y64, exact, dy.double())
    assert difference(y, y64) < 1e-5
    for gradient, gradient64 in zip(ours, theirs, strict=True):
        assert difference(gradient, gradient64) < 1e-5


@every_case
def test_second_derivatives_agree_with_float64(case: str) -> None:
    x, weight, geometry = tensors(case)

    def penalty(x: Tensor, weight: Tensor, run: Callable[..., Tensor]) -> Tensor:
        (gradient,) = torch.autograd.grad(run(x, weight, geometry).square().sum(), x, create_graph=True)
        return gradient.square().sum()

    exact = [value.detach().double().requires_grad_() for value in (x, weight)]
    ours = torch.autograd.grad(penalty(x, weight, convolve), (x, weight))
    theirs = torch.autograd.grad(penalty(exact[0], exact[1], pytorch_convolve), exact)
    for gradient, gradient64 in zip(ours, theirs, strict=True):
        assert difference(gradient, gradient64) < 1e-4


@every_case
def test_wide_layers_take_the_shorter_way(case: str) -> None:
    x, weight, geometry = tensors(case)
    with (
        mock.patch.object(winograd, "convolution", side_effect=winograd.convolution) as forward,
        mock.patch.object(winograd, "weight_adjoint", side_effect=winograd.weight_adjoint) as dw_winograd,
        mock.patch.object(columns, "weight_adjoint", side_effect=columns.weight_adjoint) as dw_columns,
    ):
        torch.autograd.backward(convolve(x, weight, geometry).sum())
        calls = [forward.call_count, dw_winograd.call_count + dw_columns.call_count]
    assert calls == [CASES[case][3], 1]


@pytest.mark.parametrize("what", ["double", "bfloat16", "narrow", "meta", "grouped", "direct"])
def test_everything_else_is_left_to_pytorch(what: str) -> None:
    channels = 32 if what == "narrow" else 96
    dtype = {"double": torch.float64, "bfloat16": torch.bfloat16}.get(what, torch.float32)
    groups = 2 if what == "grouped" else 1
    device = "meta" if what == "meta" else "cpu"
    x = torch.randn(4, channels, 16, 16, dtype=dtype, device=device)
    weight = torch.randn(channels, channels // groups, 3, 3, dtype=dtype, device=device, requires_grad=True)
    geometry = Geometry(padding=1, groups=groups)
    refused = AssertionError("not for this")
    with (
        mock.patch.object(winograd, "convolution", side_effect=refused),
        mock.patch.object(winograd, "weight_adjoint", side_effect=refused),
        mock.patch.object(columns, "weight_adjoint", side_effect=refused),
        matrix_products.direct_convolutions() if what == "direct" else mock.patch.object(convolution, "SAME", SAME),
    ):
        torch.autograd.backward(convolve(x, weight, geometry).sum())
    assert weight.grad is not None


def test_many_images_are_taken_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, geometry = tensors("strided")
    whole = torch.autograd.grad(convolve(x, weight, geometry).sum(), weight)[0]
    monkeypatch.setattr(columns, "MAX_ENTRIES", 1)
    assert difference(torch.autograd.grad(convolve(x, weight, geometry).sum(), weight)[0], whole.double()) < 1e-6


def test_tiles_are_taken_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, geometry = tensors("square")
    assert winograd._parts(x) == [slice(0, 4)]
    whole = convolve(x, weight, geometry)
    gradients = torch.autograd.grad(whole.square().sum(), (x, weight))
    monkeypatch.setattr(winograd, "CACHED", 1)
    monkeypatch.setattr(winograd, "TILES_AT_A_TIME", 48)
    assert winograd._parts(x) == [slice(0, 3), slice(3, 4)]
    parts = convolve(x, weight, geometry)
    assert difference(parts, whole.double()) < 1e-6
    for some, all_ in zip(torch.autograd.grad(parts.square().sum(), (x, weight)), gradients, strict=True):
        assert difference(some, all_.double()) < 1e-5


def test_a_wide_discriminator_scores_and_learns_the_same() -> None:
    torch.manual_seed(0)
    D = StyleGAN2Discriminator(32, channel_base=4096, channel_max=96)
    images = torch.rand(4, 3, 32, 32) * 2 - 1

    def gradients() -> list[Tensor]:
        D.zero_grad()
        torch.autograd.backward(D(images).sum() + R1(1.0)(D, images, None))
        return [D(images).detach(), *(p.grad.clone() for p in D.parameters() if p.grad is not None)]

    fast = gradients()
    with matrix_products.direct_convolutions():
        direct = gradients()
    # A rounding error that crosses a leaky ReLU's kink moves a penalty's gradient by more than its own size.
    assert all((a - b).norm() <= 1e-3 * b.norm() + 1e-6 for a, b in zip(fast, direct, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(fast, direct, strict=True))
