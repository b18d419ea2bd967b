"""Which layer of a network gives its place to attention."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from dualgan.networks.attention.base import Attention

A = TypeVar("A", bound=Attention)


def placed_attention(
    attention: Callable[[int], A] | None, attention_resolution: int | None, valid: Sequence[int], player: str
) -> dict[int, Callable[[int], A]]:
    """Attention by the resolution of its block: one entry, or none.

    Args:
        attention: Makes the module for a number of channels.
        attention_resolution: Where to put it.
        valid: Resolutions at which this network can have it.
        player: What to call the network, for instance "a generator of resolution 64".

    Raises:
        ValueError: One of the two is missing, or the network has no such block.
    """
    if attention is None and attention_resolution is None:
        return {}
    if attention is None:
        raise ValueError(
            f"attention_resolution {attention_resolution} has no effect without attention: set attention, for "
            f"instance SAN, or leave both out"
        )
    if attention_resolution is None or attention_resolution not in valid:
        raise ValueError(
            f"attention_resolution {attention_resolution} in {player}: attention needs one of "
            f"{', '.join(map(str, valid))}"
        )
    return {attention_resolution: attention}
