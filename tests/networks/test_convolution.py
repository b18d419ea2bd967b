from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from dualgan.networks.convolution import Geometry, convolve, convolve_beside, pointwise
from dualgan.networks.cpu import fused, plan
from dualgan.networks.cpu.fused import in_one_pass
from dualgan.networks.cpu.plan import Plan, computed_by

Beside = Callable[[Tensor, Tensor, Geometry], tuple[Tensor, Tensor]]

# name -> geometry, shape of x, shape of the weight
CASES = {
    "1x1": (Geometry(), (2, 3, 4, 4), (2, 3, 1, 1)),
    "3x3": (Geometry(padding=1), (2, 2, 4, 5), (3, 2, 3, 3)),
    "strided": (Geometry(stride=2), (2, 2, 5, 5), (3, 2, 3, 3)),
    "strided with pixels left over": (Geometry(stride=2, padding=1), (1, 2, 6, 4), (2, 2, 3, 3)),
    "grouped": (Geometry(padding=1, groups=2), (2, 4, 4, 4), (6, 2, 3, 3)),
    "depthwise": (Geometry(padding=2, groups=3), (1, 3, 4, 4), (3, 1, 4, 4)),
    "transposed": (Geometry(stride=2, transposed=True), (2, 2, 3, 3), (2, 3, 3, 3)),
    "depthwise transposed": (Geometry(stride=2, padding=1, groups=3, transposed=True), (1, 3, 3, 3), (3, 1, 4, 4)),
}
every_geometry = pytest.mark.parametrize("case", CASES)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Thousands of tiny convolutions: on a busy machine, waiting for a second thread takes longer than they do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tensors(case: str) -> tuple[Tensor, Tensor, Geometry]:
    geometry, x_shape, weight_shape = CASES[case]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(x_shape, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(weight_shape, generator=generator, dtype=torch.float64, requires_grad=True)
    return x, weight, geometry


def pytorch_convolve(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    operator = F.conv_transpose2d if geometry.transposed else F.conv2d
    return operator(x, weight, stride=geometry.stride, padding=geometry.padding, groups=geometry.groups)


@every_geometry
def test_it_computes_what_pytorch_computes(case: str) -> None:
    x, weight, geometry = tensors(case)
    assert torch.equal(convolve(x, weight, geometry), pytorch_convolve(x, weight, geometry))


@every_geometry
def test_first_and_second_derivatives_agree_with_finite_differences(case: str) -> None:
    x, weight, geometry = tensors(case)
    assert gradcheck(lambda x, w: convolve(x, w, geometry), (x, weight))
    assert gradgradcheck(lambda x, w: convolve(x, w, geometry), (x, weight))


@every_geometry
def test_a_bias_is_added_and_differentiated(case: str) -> None:
    x, weight, geometry = tensors(case)
    y = convolve(x, weight, geometry)
    bias = torch.randn(y.shape[1], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(convolve(x, weight, geometry, bias), y + bias[:, None, None])
    assert gradcheck(lambda x, w, b: convolve(x, w, geometry, b), (x, weight, bias))
    assert gradgradcheck(lambda x, w, b: convolve(x, w, geometry, b).pow(3), (x, weight, bias))


def small_map(case: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Geometry]:
    """Input, weight, bias and geometry of a case."""
    x, weight, geometry = tensors(case)
    bias = torch.randn(convolve(x, weight, geometry).shape[1], generator=torch.Generator().manual_seed(2))
    return x.detach().to(dtype), weight.detach().to(dtype), bias.to(dtype), geometry


@every_geometry
def test_a_leaky_relu_follows_and_is_differentiated(case: str) -> None:
    x, weight, bias, geometry = small_map(case, torch.float64)
    given = tuple(tensor.requires_grad_() for tensor in (x, weight, bias))

    def activated(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return convolve(x, weight, geometry, bias, 0.2)

    torch.testing.assert_close(activated(*given), F.leaky_relu(convolve(x, weight, geometry, bias), 0.2))
    assert gradcheck(activated, given)
    assert gradgradcheck(lambda *given: activated(*given).pow(3), given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@every_geometry
def test_one_pass_computes_what_two_passes_do(case: str, dtype: torch.dtype) -> None:
    x, weight, bias, geometry = small_map(case, dtype)
    results = []
    for one_pass in (True, False):
        with mock.patch.object(fused, "in_one_pass", lambda *call, one=one_pass: one and in_one_pass(*call)):
            y = convolve(x.requires_grad_(), weight.requires_grad_(), geometry, bias.requires_grad_(), 0.2)
            seen = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
            results.append([y, *grad((y.float() * seen).sum(), (x, weight, bias))])
    torch.testing.assert_close(*results)


def test_a_convolution_is_activated_in_one_pass() -> None:
    x, weight, _, geometry = small_map("3x3", torch.float32)
    with OperatorNames() as operators:
        y = convolve(x, weight, geometry, None, 0.2)
    assert torch.equal(y, F.leaky_relu(convolve(x, weight, geometry), 0.2))
    assert operators.names == ["mkldnn._convolution_pointwise.default"]


FILTER = Geometry(stride=2, padding=1, groups=48)


def gradients_beside(beside: Beside, x: Tensor, kernel: Tensor) -> list[Tensor]:
    """First derivatives of a map with two uses, and derivatives of their norm."""
    x = x.detach().requires_grad_()
    own, filtered = beside(x, kernel.expand(48, 1, 4, 4), FILTER)
    value = (own.float().tanh().square().sum() + filtered.float().square().sum()).sqrt()
    (first,) = grad(value, x, create_graph=True)
    (second,) = grad(first.float().square().sum(), x, retain_graph=True)
    return [filtered, first, second, *grad(value, x)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_map_and_its_filtered_form_have_the_gradients_of_two_uses(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, kernel = torch.randn(4, 48, 16, 16).to(dtype).contiguous(memory_format=torch.channels_last), torch.rand(4, 4)
    exact = gradients_beside(lambda x, w, g: (x, convolve(x, w, g)), x.double(), kernel.double())
    with computed_by(Plan()):
        found = gradients_beside(convolve_beside, x, kernel.to(dtype))
        plain = gradients_beside(lambda x, w, g: (x, convolve(x, w, g)), x, kernel.to(dtype))
    for ours, exactly, plainly in zip(found, exact, plain, strict=True):
        torch.testing.assert_close(ours.double(), exactly, rtol=0.02, atol=0.02 * float(exactly.detach().abs().max()))
        assert dtype == torch.bfloat16 or torch.equal(ours, plainly)


def test_a_filters_gradient_is_added_in_one_pass_to_a_copy() -> None:
    x = torch.randn(4, 48, 16, 16).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    spread = mock.patch.object(plan, "fastest", side_effect=lambda runs: list(runs)[-1])
    with spread, computed_by(Plan()), mock.patch.object(fused, "fuses", return_value=True):
        own, filtered = convolve_beside(x, torch.ones(48, 1, 4, 4).bfloat16(), FILTER)
        seen = [torch.ones_like(own), torch.ones_like(filtered)]
        with OperatorNames() as operators:
            (total,) = grad([own, filtered], x, seen)
    assert "mkldnn._convolution_pointwise_.binary" in operators.names
    assert not {"aten.add.Tensor", "aten.add_.Tensor"} & set(operators.names)
    assert torch.equal(seen[0], torch.ones_like(own))
    assert total[0, 0, 8, 8] == 1 + 4


class OperatorNames(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The kernels that run inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_pointwise_convolution_is_one_with_a_1x1_kernel() -> None:
    x = torch.randn(2, 8, 4, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(3, 8, 1, 1, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    y = pointwise(x, weight, bias)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, F.conv2d(x, weight, bias))
    assert gradcheck(pointwise, (x, weight, bias))
    assert gradgradcheck(lambda x, w, b: pointwise(x, w, b).pow(3), (x, weight, bias))


def squares(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.square().sum() for tensor in tensors]).sum()


def third_order(operator: Callable[[Tensor, Tensor, Geometry], Tensor], case: str) -> list[Tensor]:
    """Derivatives of a penalty on a penalty: every adjoint is differentiated in both of its tensors."""
    x, weight, geometry = tensors(case)
    first = grad(operator(x, weight, geometry).pow(3).sum(), (x, weight), create_graph=True)
    second = grad(squares(first), (x, weight), create_graph=True)
    third = grad(squares(second), (x, weight))
    return [*first, *second, *third]


@every_geometry
def test_three_orders_of_derivatives_equal_pytorchs(case: str) -> None:
    torch.testing.assert_close(third_order(convolve, case), third_order(pytorch_convolve, case))


@every_geometry
def test_a_constant_weight_or_input_gets_no_gradient_and_stops_none(case: str) -> None:
    x, weight, geometry = tensors(case)
    for constant_x, constant_weight in ((x, weight.detach()), (x.detach(), weight)):
        wanted = x if constant_x is x else weight
        (g,) = grad(convolve(constant_x, constant_weight, geometry).pow(3).sum(), wanted, create_graph=True)
        (ours,) = grad(g.square().sum(), wanted)
        (g,) = grad(pytorch_convolve(constant_x, constant_weight, geometry).pow(3).sum(), wanted, create_graph=True)
        (theirs,) = grad(g.square().sum(), wanted)
        torch.testing.assert_close(ours, theirs)


def kernels_of_a_penalty(
    operator: Callable[[Tensor, Tensor, Geometry], Tensor], geometry: Geometry, weight: Tensor
) -> int:
    x = torch.randn(1, 16, 6, 6, requires_grad=True)
    with OperatorNames() as operators:
        (g,) = grad(operator(x, weight, geometry).square().sum(), x, create_graph=True)
        grad(g.square().sum(), weight)
    return sum("convolution" in name for name in operators.names)


def test_a_penalty_costs_as_many_kernels_with_groups_as_without() -> None:
    dense = torch.randn(16, 16, 3, 3, requires_grad=True)
    depthwise = torch.randn(16, 1, 3, 3, requires_grad=True)
    expected = kernels_of_a_penalty(convolve, Geometry(padding=1), dense)
    assert kernels_of_a_penalty(convolve, Geometry(padding=1, groups=16), depthwise) == expected
    assert kernels_of_a_penalty(pytorch_convolve, Geometry(padding=1, groups=16), depthwise) > expected


@every_geometry
def test_autocast_computes_in_bfloat16_and_leaves_float32_gradients(case: str) -> None:
    x, weight, geometry = tensors(case)
    x, weight = x.detach().float().requires_grad_(), weight.detach().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = convolve(x, weight, geometry), pytorch_convolve(x, weight, geometry)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs)
    for gradient in grad(ours.float().sum(), (x, weight)):
        assert gradient.dtype == torch.float32


def test_float32_derivatives_taken_inside_autocast_stay_float32() -> None:
    x, weight = torch.randn(1, 2, 4, 4, requires_grad=True), torch.randn(2, 2, 3, 3, requires_grad=True)
    y = convolve(x, weight, Geometry(padding=1))
    results = []
    for bf16 in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            (first,) = grad(y.pow(2).sum(), x, create_graph=True)
            second = grad(first.square().sum(), (x, weight), retain_graph=True)
        results.append([first, *second])
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_channels_last_stays_channels_last() -> None:
    x = torch.randn(2, 16, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(16, 16, 3, 3).contiguous(memory_format=torch.channels_last)
    y = convolve(x, weight, Geometry(padding=1))
    (g,) = grad(y.sum(), x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert g.is_contiguous(memory_format=torch.channels_last)
