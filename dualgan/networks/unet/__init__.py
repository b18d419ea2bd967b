"""The discriminator of U-Net GAN (Schonfeld et al., CVPR 2020)."""

from dualgan.networks.unet.discriminator import UNetDiscriminator

__all__ = ["UNetDiscriminator"]
