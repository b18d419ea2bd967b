"""The smallest GAN and data that still are the real thing."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader, IterableDataset

from dualgan.data import Batch
from dualgan.gan import GAN
from dualgan.networks import (
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    StyleGANDiscriminator,
    StyleGANGenerator,
)
from dualgan.networks.attention import SAN, ReferenceAttention

WIDTH: dict[str, Any] = {"channel_base": 128, "channel_max": 16}
generator = partial(StyleGAN2Generator, z_dim=16, w_dim=16, mapping_layers=2, **WIDTH)
discriminator = partial(StyleGAN2Discriminator, mapping_layers=2, **WIDTH)

first_generator = partial(StyleGANGenerator, z_dim=16, w_dim=16, mapping_layers=2, **WIDTH)
first_discriminator = partial(StyleGANDiscriminator, **WIDTH)
# Grown up after 24 images: of batches of 8 the third one fades the second level in.
GROWTH: dict[str, Any] = {"grow_from": 4, "level_kimg": 0.008, "fade_kimg": 0.016}
growing_generator = partial(first_generator, **GROWTH)
growing_discriminator = partial(first_discriminator, **GROWTH)

# With attention in both players: SAN in G, reference attention in D.
attending_generator = partial(generator, attention=partial(SAN, footprint=3), attention_resolution=8)
attending_discriminator = partial(
    discriminator, attention=partial(ReferenceAttention, footprint=3), attention_resolution=8
)


def tiny_gan(resolution: int = 8, **settings: Any) -> GAN:
    players = {"generator": generator, "discriminator": discriminator}
    return GAN(resolution, **{"total_kimg": 1.0, "r1_gamma": 1.0, **players, **settings})


def attending_gan(resolution: int = 8, **settings: Any) -> GAN:
    players = {"generator": attending_generator, "discriminator": attending_discriminator}
    return tiny_gan(resolution, **players, **settings)


class Noise(IterableDataset[Batch]):
    """Endless batches of noise images, the same at every pass."""

    def __init__(self, gan: GAN, batch: int = 8, poison: frozenset[int] = frozenset()) -> None:
        self.shape = (batch, gan.discriminator.num_channels, gan.discriminator.resolution, gan.discriminator.resolution)
        self.num_classes, self.poison = gan.discriminator.num_classes, poison
        self.reference = gan.takes_reference

    def __iter__(self) -> Iterator[Batch]:
        source = torch.Generator().manual_seed(0)
        number = 0
        while True:
            images = torch.rand(self.shape, generator=source) * 2 - 1
            if number in self.poison:
                images[0, 0, 0, 0] = torch.nan
            labels = torch.arange(self.shape[0]) % self.num_classes if self.num_classes else None
            images = images.contiguous(memory_format=torch.channels_last)
            yield Batch(images, labels, images.roll(1, 0) if self.reference else None)
            number += 1


def tiny_trainer(steps: int, **settings: Any) -> Trainer:
    settings = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "log_every_n_steps": 1,
        "limit_val_batches": 0,
        **settings,
    }
    return Trainer(
        max_steps=steps, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, **settings,
    )  # fmt: skip


def train(gan: GAN, steps: int = 3, batch: int = 8, poison: frozenset[int] = frozenset(), **settings: Any) -> Trainer:
    trainer = tiny_trainer(steps, **settings)
    trainer.fit(gan, DataLoader(Noise(gan, batch, poison), batch_size=None))
    return trainer
