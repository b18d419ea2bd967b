"""A checkpoint to run commands on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.attention import ReferenceAttention
from dualgan.networks.classes import ImageClass
from dualgan.weights.checkpoints import header

WIDTH: dict[str, Any] = {"channel_base": 64, "mapping_layers": 2}


@pytest.fixture
def checkpoint(in_empty_folder: Path) -> Callable[..., Path]:
    """Write a checkpoint of an untrained generator."""

    def save(
        num_channels: int = 3,
        num_classes: int = 0,
        references: bool = False,
        classes: Sequence[tuple[str, int]] = (),
        **settings: Any,
    ) -> Path:
        torch.manual_seed(0)
        G = StyleGAN2Generator(8, num_channels, num_classes, z_dim=8, w_dim=8, **WIDTH, **settings)
        G.classes = tuple(ImageClass(*one) for one in classes)
        seen_beside: dict[str, Any] = {"attention": ReferenceAttention, "attention_resolution": 8} if references else {}
        D = StyleGAN2Discriminator(8, num_channels, num_classes, **WIDTH, **seen_beside)
        state = {f"generator_ema.{name}": value for name, value in G.state_dict().items()}
        state |= {f"discriminator.{name}": value for name, value in D.state_dict().items()}
        torch.save({"dualgan": header(G, D), "state_dict": state}, "made.ckpt")
        return in_empty_folder / "made.ckpt"

    return save
