"""A feature map times factors plus shifts."""

import pytest
import torch
from torch import Tensor

from dualgan.networks.scale_shift import scale_shift

SHAPES = [((2, 3, 1, 1), (1, 3, 1, 1)), ((2, 3, 1, 1), (2, 3, 1, 1)), ((2, 3, 1, 1), (2, 3, 4, 5)), ((1,), (3, 1, 1))]


def operands(shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = [(2, 3, 4, 5), *shapes]
    return [torch.randn(size, generator=generator).to(dtype).requires_grad_() for size in sizes]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bits_are_those_of_addcmul(shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> None:
    y, factor, shift = inputs = operands(shapes, dtype)
    results = [scale_shift(y, factor, shift), torch.addcmul(shift, y, factor)]
    weights = torch.randn(2, 3, 4, 5).to(dtype)
    ours, pytorch = (torch.autograd.grad(result, inputs, weights) for result in results)
    assert torch.equal(*results)
    assert all(torch.equal(one, other) for one, other in zip(ours, pytorch, strict=True))


@pytest.mark.parametrize("shapes", SHAPES)
def test_derivatives_of_any_order(shapes: tuple[tuple[int, ...], ...]) -> None:
    inputs = operands(shapes, torch.float64)
    assert torch.autograd.gradcheck(scale_shift, inputs)
    assert torch.autograd.gradgradcheck(scale_shift, inputs)


def test_gradients_that_nobody_asked_for_are_not_computed() -> None:
    y, factor, shift = operands(SHAPES[0], torch.float32)
    result = scale_shift(y.detach(), factor, shift.detach())
    (dfactor,) = torch.autograd.grad(result.sum(), factor)
    torch.testing.assert_close(dfactor, y.detach().sum(dim=(2, 3), keepdim=True))


def test_compiles_without_a_break() -> None:
    inputs = operands(SHAPES[0], torch.float32)
    compiled = torch.compile(scale_shift, backend="eager", fullgraph=True)
    assert torch.equal(compiled(*inputs), scale_shift(*inputs))
