"""Networks: what is trained."""

from dualgan.networks.base import Discriminator, Generator, Latents, Network, build_network
from dualgan.networks.biggan import BigGANDiscriminator, BigGANGenerator
from dualgan.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from dualgan.networks.sngan import SNGANDiscriminator, SNGANGenerator
from dualgan.networks.stylegan import StyleGANDiscriminator, StyleGANGenerator
from dualgan.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.unet import UNetDiscriminator

DefaultGenerator, DefaultDiscriminator = StyleGAN2Generator, StyleGAN2Discriminator
"""What is trained where a configuration names nothing else: the paper's, config E."""

__all__ = [
    "BigGANDiscriminator",
    "BigGANGenerator",
    "DefaultDiscriminator",
    "DefaultGenerator",
    "Discriminator",
    "Generator",
    "Latents",
    "Network",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "SNGANDiscriminator",
    "SNGANGenerator",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "StyleGANDiscriminator",
    "StyleGANGenerator",
    "UNetDiscriminator",
    "build_network",
]
