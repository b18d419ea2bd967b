"""What the tests of the attention modules share: the family, and a switch that makes its members do something."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from dualgan.networks.attention import DFN, SAGAN, SAN, VT, SelfAttention

FAMILY: dict[str, Callable[[int], SelfAttention]] = {
    "SAN": partial(SAN, footprint=3),
    "SAN even": partial(SAN, footprint=4),
    "SAGAN": SAGAN,
    "DFN": partial(DFN, bottleneck=3),
    "VT": partial(VT, tokens=3, token_width=6),
}
every_module = pytest.mark.parametrize("name", FAMILY)


def switch_on(module: nn.Module) -> None:
    """Give every parameter a value: some start at 0, and with them the module would be the identity."""
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.5)


def make(name: str, channels: int = 8) -> SelfAttention:
    """A member in float64, the same at every call."""
    torch.manual_seed(0)
    module = FAMILY[name](channels)
    switch_on(module)
    return module.double()


def feature_map(*shape: int) -> Tensor:
    """Random float64 in channels_last."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last)
