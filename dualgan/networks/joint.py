"""Real and generated images in one pass of a discriminator that takes no reference images."""

import torch
from torch import Tensor

from dualgan.networks.base import Discriminator, Heads, as_heads


def scored_together(
    discriminator: Discriminator,
    real: Tensor,
    fake: Tensor,
    labels: Tensor | None,
    fake_labels: Tensor | None,
    reference: Tensor | None,
) -> tuple[Heads, Heads]:
    """Logits of both; arguments as for `Discriminator.pair`.

    The values are those of two calls but for one step of the power iteration instead of two.
    """
    both = None if labels is None else torch.cat([labels, labels if fake_labels is None else fake_labels])
    heads = as_heads(discriminator(torch.cat([real, fake]), both, reference))
    return tuple(head[: len(real)] for head in heads), tuple(head[len(real) :] for head in heads)
