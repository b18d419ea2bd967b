"""Explorers of small networks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dualgan.explore.engine import Explorer
from dualgan.networks import Discriminator, Generator
from tests import tiny


def lively(network: nn.Module) -> Any:
    """An untrained network whose noise shows."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return network.eval()


class Reals:
    """Images of plain colours."""

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution

    def __call__(self, number: int) -> np.ndarray:
        if number > 9:
            raise ValueError(f"reference {number} does not exist: there are real images 0 to 9")
        return np.random.default_rng(number).integers(0, 256, (self.resolution, self.resolution, 3), np.uint8)

    def wait(self) -> None:
        """They are there."""


@pytest.fixture
def make_explorer() -> Callable[..., Explorer]:
    """Build an explorer, by default of a StyleGAN2 with attention in both networks."""

    def make(
        G: Callable[..., Generator] = tiny.attending_generator,
        D: Callable[..., Discriminator] | None = tiny.attending_discriminator,
        resolution: int = 16,
        num_classes: int = 0,
        name: str = "one",
        **more: Any,
    ) -> Explorer:
        torch.manual_seed(0)
        generator = lively(G(resolution=resolution, num_channels=3, num_classes=num_classes))
        sizes = {"resolution": resolution, "num_channels": 3, "num_classes": num_classes}
        players: dict[str, Any] = {} if D is None else {"discriminator": lively(D(**sizes))}
        return Explorer(name, generator, **{"references": Reals(resolution), **players, **more})

    return make
