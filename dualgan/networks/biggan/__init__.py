"""BigGAN (Brock et al., ICLR 2019)."""

from dualgan.networks.biggan.discriminator import BigGANDiscriminator
from dualgan.networks.biggan.generator import BigGANGenerator

__all__ = ["BigGANDiscriminator", "BigGANGenerator"]
