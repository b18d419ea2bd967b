"""Feature maps whose factors are left to the layer that reads them.

In the skip generator a demodulation factor d > 0 of every sample and channel follows a convolution, then come a shift b
(bias and noise) and a leaky ReLU; the next layer's style s is a factor again. A leaky ReLU is positively homogeneous:

    s lrelu(d y + b) = (s d) lrelu(y + b / d)

On the left two passes over the map multiply and two add, on the right it is one of each, and the backward pass has
fewer sums over maps: a CPU's step of G takes 4 to 11 % less time.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from dualgan.networks.cpu.plan import is_planned
from dualgan.runtime.precision import autocast_enabled

# N batch, C channels, H W spatial, K terms


class Scaled(NamedTuple):
    """The feature map `features` times `scale`.

    Attributes:
        features: [N, C, H, W].
        scale: Positive, [N, C]; None is 1.
    """

    features: Tensor
    scale: Tensor | None = None

    def times(self, factor: Tensor) -> Tensor:
        """The map times a factor [N, C], in one pass."""
        factor = factor if self.scale is None else factor * self.scale
        return self.features * factor[:, :, None, None].to(self.features.dtype)

    def map(self) -> Tensor:
        """The map [N, C, H, W] itself, for a reader without a factor."""
        return self.features if self.scale is None else Scaled(self.features).times(self.scale)


def leaves_scaled(device: str) -> bool:
    """Whether layers leave their factors to the next one: in bfloat16, and on CPUs in steps with a plan.

    Otherwise float32 keeps the left side's bits, as compiled code does, which fuses those passes itself. Float16, which
    GPUs may have under autocast, has no range for maps before their demodulation.
    """
    if torch.compiler.is_compiling():
        return False
    if autocast_enabled(device):
        return torch.get_autocast_dtype(device) == torch.bfloat16
    return device == "cpu" and is_planned()


def add_outer(y: Tensor, maps: Sequence[Tensor], factors: Sequence[Tensor]) -> Tensor:
    """y + sum_k a_k b_k of y [N, C, H, W], maps a_k [N or 1, 1, H, W] and factors b_k [N, C]; changes y itself.

    It is a matrix product and takes one pass. Maps get no gradient.
    """
    n, _, h, w = y.shape
    pixels = torch.cat([a.expand(n, 1, h, w) for a in maps], dim=1).to(y.dtype).flatten(2)
    rows = torch.stack(list(factors), dim=1).to(y.dtype)
    total: Tensor = _AddOuter.apply(y.contiguous(memory_format=torch.channels_last), pixels, rows)
    return total


class _AddOuter(Function):
    """y += a^T b of y [N, C, H, W], a [N, K, HW], b [N, K, C]."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, pixels: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(pixels)
        ctx.mark_dirty(y)
        n, c, h, w = y.shape
        y.permute(0, 2, 3, 1).view(n, h * w, c).baddbmm_(pixels.mT, rows)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        (pixels,) = ctx.saved_tensors
        return dy, None, torch.bmm(pixels, dy.permute(0, 2, 3, 1).flatten(1, 2))
