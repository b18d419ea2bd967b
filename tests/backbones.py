"""Every architecture as a pair of small networks, for tests that all of them must pass."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from dualgan.auxiliary import CutMix
from dualgan.gan import GAN
from dualgan.networks import (
    BigGANDiscriminator,
    BigGANGenerator,
    Discriminator,
    Generator,
    R3GANDiscriminator,
    R3GANGenerator,
    SNGANDiscriminator,
    SNGANGenerator,
    UNetDiscriminator,
)
from tests import tiny
from tests.training.toys import ToyDiscriminator, ToyGenerator


class Backbone(NamedTuple):
    """Two networks that take `resolution, num_channels, num_classes`.

    Attributes:
        generator: G.
        discriminator: D.
        resolution: The smallest that both can have.
        conditional: Both can have classes.
        auxiliary: Losses that belong to the architecture.
    """

    generator: Callable[..., Generator]
    discriminator: Callable[..., Discriminator]
    resolution: int = 8
    conditional: bool = True
    auxiliary: tuple[Any, ...] = ()

    def gan(self, **settings: Any) -> GAN:
        """The two of them in a training; style mixing and path length are on where there is a mapping network."""
        has_mapping = self.generator(self.resolution, 3, 0).has_mapping
        without = {} if has_mapping else {"style_mixing": 0, "path_length_weight": 0}
        settings = {"auxiliary": list(self.auxiliary), "r1_gamma": 1.0, "total_kimg": 1.0, **without, **settings}
        return GAN(self.resolution, generator=self.generator, discriminator=self.discriminator, **settings)


GROUPED: dict[str, Any] = {"channel_base": 128, "channel_max": 16, "group_width": 8, "blocks_per_stage": 1}
BIGGAN: dict[str, Any] = {"width": 2, "z_dim": 8, "attention_resolution": 8, "standing_passes": 2}

BACKBONES: dict[str, Backbone] = {
    "StyleGAN2": Backbone(tiny.generator, tiny.discriminator),
    "StyleGAN2 with attention": Backbone(tiny.attending_generator, tiny.attending_discriminator),
    "StyleGAN": Backbone(tiny.first_generator, tiny.first_discriminator),
    "StyleGAN that grows": Backbone(tiny.growing_generator, tiny.growing_discriminator),
    "R3GAN": Backbone(partial(R3GANGenerator, z_dim=16, **GROUPED), partial(R3GANDiscriminator, **GROUPED)),
    "SNGAN": Backbone(partial(SNGANGenerator, z_dim=8, width=4), partial(SNGANDiscriminator, width=4), resolution=32),
    "BigGAN": Backbone(
        partial(BigGANGenerator, hierarchical=True, shared_dim=4, **BIGGAN),
        partial(BigGANDiscriminator, width=2, attention_resolution=8),
        32,
    ),
    "U-Net GAN": Backbone(tiny.generator, partial(UNetDiscriminator, width=1), 32, auxiliary=(CutMix,)),
    "toys": Backbone(ToyGenerator, ToyDiscriminator),
    "toys without batch normalisation": Backbone(partial(ToyGenerator, norm=False), ToyDiscriminator),
}
