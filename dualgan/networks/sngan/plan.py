"""Which layers SNGAN has at which resolution.

32, 48 and 128 are the paper's networks for CIFAR-10, STL-10 and ImageNet (appendix). 64 and 256 are those of its
authors' code for the projection discriminator; there 256 is half as wide.
"""

from typing import NamedTuple

from torch import nn

from dualgan.networks.spectral import Conv2d

RESIDUAL_GAIN = 2**0.5  # of Glorot's initialisation, for what a ReLU precedes


class Plan(NamedTuple):
    """Channels are multiples of a width.

    Attributes:
        width: Published width of the generator and of the discriminator.
        first: Resolution of the generator's first map.
        generator: Channels of the generator's maps, the first one's and those after each block, which all double.
        discriminator: Channels after each block of the discriminator.
        halving: How many of these, from the image on, halve the resolution.
    """

    width: tuple[int, int]
    first: int
    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    halving: int


PLANS = {
    32: Plan((256, 128), 4, (1, 1, 1, 1), (1, 1, 1, 1), 2),
    48: Plan((64, 64), 6, (8, 4, 2, 1), (1, 2, 4, 8, 16), 4),
    64: Plan((64, 64), 4, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5),
    128: Plan((64, 64), 4, (16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),
    256: Plan((64, 64), 4, (16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6),
}


def plan_of(resolution: int, network: str) -> Plan:
    """The plan of a resolution.

    Raises:
        ValueError: There is none.
    """
    if resolution not in PLANS:
        known = ", ".join(map(str, PLANS))
        raise ValueError(
            f"{network} has no layers for resolution {resolution}: it is defined for {known}. Set 'resolution' of the "
            f"data to one of these; images are resized to it"
        )
    return PLANS[resolution]


def convolution(in_channels: int, out_channels: int, kernel_size: int, gain: float = 1.0) -> Conv2d:
    """A convolution that keeps the resolution, with Glorot's initialisation and biases of 0."""
    layer = Conv2d(in_channels, out_channels, kernel_size)
    nn.init.xavier_uniform_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
