"""Weight gradients of 3x3 convolutions on CPUs as matrix products.

The gradient of a weight is the product of the output's gradient with the input's windows written out as rows:

    dw[d, (i, j, c)] = sum_p dy[p, d] x[s p + (i, j), c],   p a pixel of dy, s the stride
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# N batch, C channels in, D channels out, P pixels of the smaller map

MAX_ENTRIES = 2**18  # of the windows written out at a time: 1 MB stays in the cache until it is multiplied
MIN_PIXELS = 128  # of a product, which reads and writes the whole gradient


def weight_adjoint(large: Tensor, small: Tensor, stride: int, padding: int) -> Tensor:
    """Gradient [D, C, 3, 3] of the weight that takes `large` [N, C, H, W] to `small` [N, D, h, w]."""
    _, d, h, w = small.shape
    c = large.shape[1]
    pixels = large.permute(0, 2, 3, 1)
    if padding:  # `pad` would copy the map in any case
        pixels = F.pad(pixels, (0, 0, padding, padding, padding, padding))
    windows = pixels.unfold(1, 3, stride).unfold(2, 3, stride).permute(0, 1, 2, 4, 5, 3)  # [N, h, w, 3, 3, C]
    gradients = small.permute(0, 2, 3, 1)
    dw = torch.empty(d, c, 3, 3, memory_format=torch.channels_last).zero_()
    rows = dw.permute(0, 2, 3, 1).view(d, 9 * c)
    images = max(MAX_ENTRIES // (h * w * 9 * c), math.ceil(MIN_PIXELS / (h * w)))
    for some, theirs in zip(torch.split(windows, images), torch.split(gradients, images), strict=True):
        rows.addmm_(theirs.reshape(-1, d).t(), some.reshape(-1, 9 * c))
    return dw
