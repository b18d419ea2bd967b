"""SNGAN (Miyato et al., ICLR 2018): residual networks, batch normalisation in G, spectral normalisation in D.

With classes, as the projection discriminator's paper has it (Miyato & Koyama, ICLR 2018).
"""

from dualgan.networks.sngan.discriminator import SNGANDiscriminator
from dualgan.networks.sngan.generator import SNGANGenerator

__all__ = ["SNGANDiscriminator", "SNGANGenerator"]
