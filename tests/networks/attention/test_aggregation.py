import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

from dualgan.networks.attention.aggregation import Offsets, aggregate

CASES = {
    "odd": (Offsets(3, range(3)), 2, 4),
    "even": (Offsets(2, range(2)), 2, 4),
    "one row": (Offsets(3, range(1, 2)), 1, 3),
    "a weight per channel": (Offsets(2, range(2)), 2, 2),
}
every_case = pytest.mark.parametrize("case", CASES)


def tensors(case: str) -> tuple[Tensor, Tensor, Offsets]:
    offsets, m, c = CASES[case]
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(2, len(offsets) * m, 3, 2, generator=generator, dtype=torch.float64)
    value = torch.randn(2, c, 2 + offsets.footprint, 1 + offsets.footprint, generator=generator, dtype=torch.float64)
    return weight.requires_grad_(), value.requires_grad_(), offsets


def unfolded(weight: Tensor, value: Tensor, offsets: Offsets) -> Tensor:
    """The same sum over all patches at once."""
    n, c, s = len(value), value.shape[1], offsets.footprint
    patches = F.unfold(value, s).view(n, c, s * s, *weight.shape[2:])
    patches = patches[:, :, [i * s + j for i, j in offsets]]
    m = weight.shape[1] // len(offsets)
    weights = weight.view(n, len(offsets), m, *weight.shape[2:])[:, :, [k % m for k in range(c)]]
    return (weights.transpose(1, 2) * patches).sum(dim=2)


@every_case
def test_it_is_the_sum_over_unfolded_patches(case: str) -> None:
    weight, value, offsets = tensors(case)
    torch.testing.assert_close(aggregate(weight, value, offsets), unfolded(weight, value, offsets))


@every_case
def test_first_and_second_derivatives_agree_with_finite_differences(case: str) -> None:
    weight, value, offsets = tensors(case)
    assert gradcheck(lambda w, v: aggregate(w, v, offsets), (weight, value), fast_mode=True)
    assert gradgradcheck(lambda w, v: aggregate(w, v, offsets), (weight, value), fast_mode=True)


@every_case
def test_three_orders_of_derivatives_equal_those_of_the_unfolded_sum(case: str) -> None:
    weight, value, offsets = tensors(case)
    results = []
    for form in (aggregate, unfolded):
        found: list[Tensor] = []
        scalar = form(weight, value, offsets).pow(3).sum()
        for _ in range(3):
            gradients = grad(scalar, (weight, value), create_graph=True)
            found += gradients
            scalar = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
        results.append(found)
    torch.testing.assert_close(*results)


@every_case
def test_a_constant_gets_no_gradient_and_stops_none(case: str) -> None:
    weight, value, offsets = tensors(case)
    for constant_weight, constant_value in ((weight.detach(), value), (weight, value.detach())):
        wanted = value if constant_value is value else weight
        results = []
        for form in (aggregate, unfolded):
            (g,) = grad(form(constant_weight, constant_value, offsets).pow(3).sum(), wanted, create_graph=True)
            results.append(grad(g.square().sum(), wanted))
        torch.testing.assert_close(*results)


def test_low_precision_is_summed_in_float32() -> None:
    offsets = Offsets(7, range(7))
    weight, value = torch.ones(1, 49, 1, 1).bfloat16(), torch.ones(1, 4, 7, 7).bfloat16()
    weight[:, 0] = 512  # in bfloat16, 512 + 1 is 512
    out = aggregate(weight, value, offsets)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, torch.full((1, 4, 1, 1), 560.0).bfloat16())


def test_results_and_gradients_are_channels_last() -> None:
    weight, value, offsets = tensors("odd")
    weight, value = (x.detach().contiguous(memory_format=torch.channels_last).requires_grad_() for x in (weight, value))
    out = aggregate(weight, value, offsets)
    for tensor in (out, *grad(out.square().sum(), (weight, value))):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
