"""R3GAN (Huang et al., NeurIPS 2024): grouped residual blocks, without mapping, noise, normalisation or statistics."""

from dualgan.networks.r3gan.discriminator import R3GANDiscriminator
from dualgan.networks.r3gan.generator import R3GANGenerator

__all__ = ["R3GANDiscriminator", "R3GANGenerator"]
