"""StyleGAN (Karras et al., CVPR 2019): the first one, with adaptive instance normalisation, and progressive growing."""

from dualgan.networks.stylegan.discriminator import StyleGANDiscriminator
from dualgan.networks.stylegan.generator import StyleGANGenerator

__all__ = ["StyleGANDiscriminator", "StyleGANGenerator"]
