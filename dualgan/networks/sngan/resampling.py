"""3x3 convolutions together with the change of resolution beside them, as one convolution of fewer operations.

Filling the pixels in between with their neighbour's value, or taking means over 2x2, is a convolution itself, and two
in a row are one with a kernel of 4x4. It takes 16 products where the two of them take 36.
"""

from torch import Tensor
from torch.nn import functional as F

from dualgan.networks.convolution import Geometry, convolve
from dualgan.networks.spectral import Conv2d, full_precision_weight

HALVING = Geometry(stride=2, padding=1)
DOUBLING = Geometry(stride=2, padding=1, transposed=True)


# w * box, with box = 1/4 on 2x2
def blurred(weight: Tensor) -> Tensor:
    """[D, C, 3, 3] -> [D, C, 4, 4]."""
    return F.avg_pool2d(weight, 2, stride=1, padding=1)


def convolved_and_halved(x: Tensor, layer: Conv2d) -> Tensor:
    """Means over 2x2 of the layer's output: [N, C, H, W] -> [N, D, H / 2, W / 2]."""
    return convolve(x, blurred(full_precision_weight(layer, x)), HALVING, layer.bias)


def doubled_and_convolved(x: Tensor, layer: Conv2d) -> Tensor:
    """The layer on pixels that are repeated 2x2 times: [N, C, H, W] -> [N, D, 2H, 2W]."""
    weight = 4 * blurred(full_precision_weight(layer, x).flip(2, 3)).transpose(0, 1)
    return convolve(x, weight, DOUBLING, layer.bias)
