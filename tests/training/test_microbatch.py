import pytest
import torch
from torch import Tensor

from dualgan.losses.dual_contrastive import dual_contrast
from dualgan.training.microbatch import backward_in_parts, interleave, number_of_parts, strided


def run_backward(value: Tensor) -> None:
    torch.autograd.backward(value)


@pytest.mark.parametrize(
    ("count", "micro_batch", "parts"),
    [(8, None, 1), (8, 8, 1), (8, 16, 1), (8, 2, 4), (14, 4, 7), (12, 8, 2), (10, 4, 5), (7, 4, 7), (1, 4, 1)],
)
def test_parts_are_equal_and_no_larger_than_they_may_be(count: int, micro_batch: int | None, parts: int) -> None:
    assert number_of_parts(count, micro_batch) == parts


def test_nothing_that_was_cast_without_gradient_is_used_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    weight = torch.ones((), requires_grad=True)

    def part() -> tuple[Tensor, ...]:
        events.append("with gradient" if torch.is_grad_enabled() else "without")
        return (weight * torch.ones(2),)

    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: events.append("cleared"))
    backward_in_parts(torch.sum, [part, part], run_backward)
    assert events == ["without", "without", "cleared", "with gradient", "with gradient"]


def test_interleave_undoes_the_strided_split() -> None:
    values = torch.arange(12)
    assert torch.equal(interleave([strided(k, 3, values)[0] for k in range(3)]), values)


def test_what_belongs_together_is_split_alike() -> None:
    images, reference = torch.arange(8), torch.arange(8, 16)
    part, nothing, other = strided(1, 4, images, None, reference)
    assert nothing is None
    assert part.tolist() == [1, 5]
    assert torch.equal(other, part + 8)


def test_a_coupled_loss_has_the_gradient_of_the_whole_batch() -> None:
    inputs = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    others = inputs.flip(0) * 2

    def gradient(parts: int) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        weight = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()

        def part(k: int) -> tuple[Tensor, Tensor]:
            return (inputs[k::parts] @ weight).square(), others[k::parts] @ weight

        calls = [lambda k=k: part(k) for k in range(parts)]
        loss, logits = backward_in_parts(dual_contrast, calls, run_backward)
        assert weight.grad is not None
        return weight.grad, loss, logits

    whole, loss, logits = gradient(1)
    for parts in (2, 4):
        in_parts, loss_in_parts, logits_in_parts = gradient(parts)
        torch.testing.assert_close(in_parts, whole)
        torch.testing.assert_close(loss_in_parts, loss)
        torch.testing.assert_close(logits_in_parts, logits)


def test_logits_without_gradient_take_part_in_the_loss_only() -> None:
    weight = torch.ones((), requires_grad=True)
    real = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def part(k: int) -> tuple[Tensor, Tensor]:
        return weight * real[k::2], real[k::2]

    loss, _ = backward_in_parts(dual_contrast, [lambda: part(0), lambda: part(1)], run_backward)
    (expected,) = torch.autograd.grad(dual_contrast(weight * real, real), weight)
    torch.testing.assert_close(weight.grad, expected)
    assert not loss.requires_grad
