"""Networks with the state of a published implementation, and what that implementation computed."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.mapping import with_means_of_w

FOLDER = Path(__file__).parents[1] / "golden"
PUBLISHED = (("uncond16", 16, 0), ("cond32", 32, 3))  # name, resolution, classes


class Golden(NamedTuple):
    """Networks with the state of a published implementation, and what that implementation computed."""

    G: StyleGAN2Generator
    D: StyleGAN2Discriminator
    expected: dict[str, Tensor]
    labels: Tensor | None

    def to(self, device: torch.device | str) -> "Golden":
        """The same on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        expected = {name: value.to(device) for name, value in self.expected.items()}
        return Golden(self.G.to(device), self.D.to(device), expected, labels)


def load(name: str, resolution: int, num_classes: int) -> Golden:
    """Read one of the files."""
    arrays = {key: torch.from_numpy(array) for key, array in np.load(FOLDER / f"stylegan2_{name}.npz").items()}
    G = StyleGAN2Generator(
        resolution,
        num_classes=num_classes,
        z_dim=24,
        w_dim=20,
        mapping_layers=3,
        channel_base=256,
        channel_max=16,
    )
    D = StyleGAN2Discriminator(resolution, num_classes=num_classes, channel_base=256, channel_max=16, mapping_layers=2)
    for prefix, network in (("G/", G), ("D/", D)):
        state = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        state = {k: v for k, v in state.items() if "resample_filter" not in k}
        network.load_state_dict(with_means_of_w(state, num_classes))
    expected = {key.removeprefix("io/"): value for key, value in arrays.items() if key.startswith("io/")}
    return Golden(G, D, expected, expected["labels_onehot"].argmax(dim=1) if num_classes else None)
