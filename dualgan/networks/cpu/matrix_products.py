"""Which convolutions are computed as matrix products (`winograd`, `columns`), and how to do without."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# On large maps matrix products pay from fewer channels on: oneDNN's weight gradients need twice the time there.
LARGE_MAP = 64 * 64  # pixels
FEWER_CHANNELS = 32

_allowed = True


@contextmanager
def direct_convolutions() -> Iterator[None]:
    """Use PyTorch's convolutions everywhere inside: to compare with, and to count their operations."""
    global _allowed
    before, _allowed = _allowed, False
    try:
        yield
    finally:
        _allowed = before


def direct_convolutions_wanted() -> bool:
    """Whether `direct_convolutions` is around."""
    return not _allowed


def matrix_products_allowed(x: Tensor, weight: Tensor, min_channels: int) -> bool:
    """Whether this is a wide enough 3x3 convolution in float32 on a CPU, and not being traced for a compiler.

    Args:
        x: One of the maps [N, C, H, W].
        weight: [D, C, 3, 3].
        min_channels: Least channels on either side that pay; 32 fewer do on maps of 64x64 pixels and more.
    """
    if x.shape[-2:].numel() >= LARGE_MAP:
        min_channels -= FEWER_CHANNELS
    return (
        _allowed
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and weight.shape[2:] == (3, 3)
        and min(weight.shape[:2]) >= min_channels
        and not torch.compiler.is_compiling()
    )
