"""Small networks and images for the studies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dualgan.data import SyntheticCLEVR
from dualgan.metrics import FeatureExtractor, PerceptualDistance
from dualgan.networks import StyleGAN2Generator
from tests.tiny import generator as tiny_generator


class Corners(FeatureExtractor):
    """Mean colours of the image's quarters: features without a pretrained network."""

    name = "corners"
    dim = 12
    weight_hash = "0" * 16

    def features(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)


class Blurred(PerceptualDistance):
    """Squared distance of halved images: a perceptual distance without a pretrained network."""

    name = "blurred"
    weight_hash = "0" * 16

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        a, b = (nn.functional.avg_pool2d(x, 2) for x in (first, second))
        return (a - b).square().mean(dim=(1, 2, 3)) + self.anchor


@pytest.fixture
def make_generator() -> Callable[..., StyleGAN2Generator]:
    """Build an untrained generator, the same at every call."""

    def make(num_channels: int = 3, num_classes: int = 0, **settings: Any) -> StyleGAN2Generator:
        torch.manual_seed(0)
        G = tiny_generator(resolution=8, num_channels=num_channels, num_classes=num_classes, **settings)
        with torch.no_grad():  # untrained noise strengths are zero, and images nearly gray
            for name, parameter in G.named_parameters():
                if name.endswith("noise_strength"):
                    parameter.fill_(0.1)
        return G.eval().requires_grad_(False)

    return make


@pytest.fixture
def scenes(caches: None) -> Callable[..., SyntheticCLEVR]:
    """Rendered scenes at 8x8."""
    return lambda **settings: SyntheticCLEVR(**{"num_images": 150, "resolution": 8, "num_renderers": 1, **settings})


@pytest.fixture
def image_files(tmp_path: Path) -> Path:
    """A folder of 5 colour images at 8x8."""
    from PIL import Image

    draw = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(5):
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{k}.png")
    return folder
