"""Attention: layers whose weights depend on what they see.

SAN, SAGAN, DFN and VT take the place of a convolution in the generator and work alone on any feature map.
ReferenceAttention looks at one image through another (for the discriminator).
"""

from dualgan.networks.attention.base import Attention, SelfAttention
from dualgan.networks.attention.dfn import DFN
from dualgan.networks.attention.reference import ReferenceAttention
from dualgan.networks.attention.sagan import SAGAN
from dualgan.networks.attention.san import SAN
from dualgan.networks.attention.vt import VT

__all__ = ["DFN", "SAGAN", "SAN", "VT", "Attention", "ReferenceAttention", "SelfAttention"]
