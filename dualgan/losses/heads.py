"""Losses on the logits of discriminators with several heads."""

from collections.abc import Callable

from torch import Tensor

Loss = Callable[..., Tensor]


def per_head(loss: Loss, kinds: int) -> Loss:
    """Mean over D's heads of a loss on each head's logits.

    Args:
        loss: A scalar of one head's logits [N, ...] of each kind of images.
        kinds: How many kinds of images it looks at, such as real and generated ones.

    Returns:
        A function of the logits of every head of the first kind, then of every head of the next.
    """

    def mean(*logits: Tensor) -> Tensor:
        heads = len(logits) // kinds
        values = [loss(*logits[head::heads]) for head in range(heads)]
        return sum(values[1:], start=values[0]) / heads

    return mean
