"""Networks: what is trained."""

from dualgan.networks.base import Discriminator, Generator, Latents, Network, build_network
from dualgan.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator

__all__ = [
    "Discriminator",
    "Generator",
    "Latents",
    "Network",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "build_network",
]
