"""Twenty training steps of a published StyleGAN2 implementation, met in float64 to rounding.

The golden file holds its start weights, the images and latents of every step, and its weights after 1, 5 and 20 steps.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from dualgan.data import Batch
from dualgan.gan import GAN
from dualgan.losses import PathLength
from dualgan.networks import Latents, StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.runtime.distributed import rank, world_size
from tests.tiny import tiny_trainer

GOLDEN = Path(__file__).parents[1] / "golden" / "stylegan2_trajectory.npz"
BATCH = 8
WIDTH: dict[str, Any] = {"channel_base": 128, "channel_max": 16}
STEPS = (1, 5, 20)


def golden() -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(GOLDEN).items()}


class Replay(GAN):
    """Draws what the published implementation drew: this rank's share, strided, as its images are."""

    arrays: dict[str, Tensor]

    def draw(self, count: int, purpose: str, part: int = 0) -> Latents:
        step = self.clock // BATCH
        name, index = {
            "generator": ("z/generator", step),
            "fakes": ("z/fakes", step),
            "path_length": ("z/path_length", step // 4),
        }[purpose]
        own = self.arrays[name][index].double()[rank() :: world_size()]
        return Latents(own[part :: len(own) // count])


class ReplayedPaths(PathLength):
    """Measures along the noise that the published implementation drew."""

    def __init__(self, gan: Replay) -> None:
        super().__init__()
        self.gan, self.calls = gan, 0

    def path_lengths(self, images: Tensor, ws: Tensor, noise: Tensor | None = None) -> Tensor:
        drawn = self.gan.arrays["path_length_noise"][self.gan.clock // BATCH // 4].double()[rank() :: world_size()]
        parts = len(drawn) // len(images)
        part, self.calls = self.calls % parts, self.calls + 1
        return super().path_lengths(images, ws, drawn[part::parts])


class Images(IterableDataset[Batch]):
    """The images of every step."""

    def __init__(self, real: Tensor) -> None:
        self.real = real

    def __iter__(self) -> Iterator[Batch]:
        for images in self.real:
            own = images[rank() :: world_size()].double()
            yield Batch(own.contiguous(memory_format=torch.channels_last), None)


def replay(**settings: Any) -> Replay:
    """A training with the published settings, at its start."""
    gan = Replay(
        16,
        generator=partial(StyleGAN2Generator, z_dim=16, w_dim=16, mapping_layers=2, noise=False, **WIDTH),
        discriminator=partial(StyleGAN2Discriminator, **WIDTH),
        **{"r1_gamma": 10.0, "style_mixing": 0.0, "total_kimg": 1.0, **settings},
    )
    gan.arrays = golden()
    gan.path_length.penalty = ReplayedPaths(gan)
    for name, network in (("G", gan.generator), ("G", gan.generator_ema), ("D", gan.discriminator)):
        prefix = f"init/{name}/"
        state = {k.removeprefix(prefix): v for k, v in gan.arrays.items() if k.startswith(prefix)}
        if network is not gan.discriminator:
            state["mapping.w_avg_updates"] = torch.tensor(0)  # the published mean starts at zero, uncounted
        network.load_state_dict(state)
    return gan


def differences(gan: Replay, step: int) -> dict[str, float]:
    """Largest absolute difference of every tensor from the published one after some steps."""
    found = {}
    for name, network in (("G", gan.generator), ("D", gan.discriminator), ("G_ema", gan.generator_ema)):
        for key, value in network.state_dict().items():
            if key == "mapping.w_avg_updates":
                continue
            published = gan.arrays[f"step{step}/{name}/{key}"]
            found[f"{name}/{key}"] = float((value - published).abs().max())
    found["path_length_mean"] = abs(float(gan.path_length_mean - gan.arrays["path_length_mean"][step - 1]))
    return found


def follow(gan: Replay, trainer: Trainer) -> dict[int, dict[str, float]]:
    """Train for twenty steps; differences after some."""
    found: dict[int, dict[str, float]] = {}
    advance = gan.advance

    def noted(images: int) -> None:
        advance(images)
        if (step := gan.clock // BATCH) in STEPS:
            found[step] = differences(gan, step)

    gan.advance = noted  # type: ignore[method-assign]
    trainer.fit(gan, DataLoader(Images(gan.arrays["real"]), batch_size=None))
    return found


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_twenty_steps_are_those_of_the_published_implementation(micro_batch: int | None) -> None:
    gan = replay(micro_batch=micro_batch)
    found = follow(gan, tiny_trainer(20, precision="64-true"))
    assert tuple(found) == STEPS
    for step, values in found.items():
        assert {"G/mapping.w_avg", "G_ema/mapping.w_avg", "path_length_mean"} <= values.keys()
        wrong = {name: value for name, value in values.items() if not value < 1e-10}
        assert wrong == {}, step
    assert isinstance(gan, LightningModule)
    assert gan.generator.mapping.w_avg.dtype == torch.float64
