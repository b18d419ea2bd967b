"""Backward passes in parts: the gradient of a whole batch in the memory of a part of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Part = Callable[[], tuple[Tensor, ...]]  # recomputes this part's logits, the same ones at every call


def number_of_parts(count: int, micro_batch: int | None) -> int:
    """Fewest parts of equal size that `count` images have with at most `micro_batch` in each; None is no bound."""
    return next(k for k in range(1, count + 1) if count % k == 0 and (micro_batch is None or count // k <= micro_batch))


def strided(k: int, parts: int, *values: Tensor | None) -> list[Any]:
    """Every parts-th entry from the k-th on of all that is not None: keeps minibatch-std groups whole."""
    return [None if value is None else value[k::parts] for value in values]


def interleave(parts: Sequence[Tensor]) -> Tensor:
    """Undo the strided split x[k::K]: K tensors [n, ...] -> [K * n, ...]."""
    return torch.stack(list(parts), dim=1).flatten(0, 1)


def backward_in_parts(
    loss: Callable[..., Tensor],
    parts: Sequence[Part],
    backward: Callable[[Tensor], None],
    also: Callable[[int], Tensor | None] = lambda k: None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Backpropagate `loss(*logits)`, where part k yields every K-th logit of each kind.

    A loss may couple all logits of the batch, so with several parts a pass without gradient collects them first;
    the loss's gradient with respect to each logit then weights that part's own backward pass. Exact, at the price
    of one more forward pass.

    Args:
        loss: A scalar of the logits of the whole batch, any number of tensors [N, ...].
        parts: Each gives its part of every tensor.
        backward: Backpropagates a scalar.
        also: What else of part k enters the backward pass, a mean over its images: called right after the part with
            gradient. Losses that look at each image for itself are no part of `loss`.

    Returns:
        The detached loss and logits of the whole batch.
    """
    if len(parts) == 1:
        logits = parts[0]()
        value = loss(*logits)
        backward(_sum(value, also(0)))
        return value.detach(), tuple(kind.detach() for kind in logits)
    with torch.no_grad():
        outputs = [part() for part in parts]
    torch.clear_autocast_cache()  # older PyTorch hands out parameters that were cast here, without their gradient
    leaves = tuple(interleave(kind).requires_grad_() for kind in zip(*outputs, strict=True))
    value = loss(*leaves)
    weights = torch.autograd.grad(value, leaves, allow_unused=True)
    for k, part in enumerate(parts):
        pairs = [(kind, weight) for kind, weight in zip(part(), weights, strict=True) if weight is not None]
        weighted = torch.stack([(kind * weight[k :: len(parts)]).sum() for kind, weight in pairs]).sum()
        extra = also(k)
        backward(_sum(weighted, None if extra is None else extra / len(parts)))
    return value.detach(), tuple(leaf.detach() for leaf in leaves)


class Means(dict[str, Tensor]):
    """Means over the micro-batches of what each of them adds, by name."""

    def add(self, values: Mapping[str, Tensor], parts: int) -> Tensor | None:
        """Count the scalars of one of `parts` micro-batches; returns their sum, with gradient, if there are any."""
        for name, value in values.items():
            self[name] = self.get(name, 0) + value.detach() / parts
        return torch.stack(list(values.values())).sum() if values else None


def _sum(value: Tensor, extra: Tensor | None) -> Tensor:
    return value if extra is None else value + extra
