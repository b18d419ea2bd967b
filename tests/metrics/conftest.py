"""Random weights in published formats."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dualgan.metrics.weights import WEIGHTS


@pytest.fixture(scope="session")
def vgg16_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of all of VGG16 in torchvision's format; the file is small, for dense rows share their numbers."""
    from torchvision.models import vgg16

    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: x.shape for name, x in vgg16().state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        row = torch.randn(1, *shape[1:]) if name.startswith("classifier") and len(shape) > 1 else torch.randn(shape)
        state[name] = (row * (2 / fan_in) ** 0.5 * (1 if len(shape) > 1 else 0.01)).expand(shape)
    path = tmp_path_factory.mktemp("weights") / WEIGHTS["vgg16"].file
    torch.save(state, path)
    return path
