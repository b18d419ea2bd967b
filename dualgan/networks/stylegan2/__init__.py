"""StyleGAN2 (Karras et al., CVPR 2020), config E by default: skip generator, residual discriminator.

State-dict names and numerics follow the published implementations, so that their weights load as they are.
"""

from dualgan.networks.stylegan2.discriminator import StyleGAN2Discriminator
from dualgan.networks.stylegan2.generator import StyleGAN2Generator

__all__ = ["StyleGAN2Discriminator", "StyleGAN2Generator"]
