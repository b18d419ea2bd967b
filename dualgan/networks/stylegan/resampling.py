"""3x3 convolutions that change the resolution, with a blur at the higher one (StyleGAN, section 2, config B)."""

import torch.nn.functional as F
from torch import Tensor

from dualgan.networks.convolution import Geometry, convolve
from dualgan.networks.layers import FIR, LEAKY_GAIN, LEAKY_SLOPE, EqualizedConv2d

BLUR = (1.0, 2.0, 1.0)


def with_box(weight: Tensor) -> Tensor:
    """Weight [D, C, 3, 3] and a mean over 2x2 pixels next to it, as one weight [D, C, 4, 4]."""
    return F.avg_pool2d(weight, 2, stride=1, padding=1)


class UpConv(EqualizedConv2d):
    """Every pixel twice in both directions, convolution, blur; without bias and activation, but with the latter's gain.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, bias=False, activate=False, gain=LEAKY_GAIN)
        self.blur = FIR(padding=1, taps=BLUR)

    # The doubling and the convolution are one transposed convolution (with the kernel turned around, as it is learned)
    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, 2H, 2W]."""
        weight = with_box(self.weight * (4 * self.weight_gain)).transpose(0, 1)
        blurred: Tensor = self.blur(convolve(x, weight, Geometry(stride=2, padding=1, transposed=True)))
        return blurred


class DownConv(EqualizedConv2d):
    """Blur, convolution, mean over 2x2 pixels, bias, leaky ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.blur = FIR(padding=1, taps=BLUR)

    # The convolution and the mean are one convolution
    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H / 2, W / 2]."""
        assert self.bias is not None
        weight = with_box(self.weight * self.weight_gain)
        return convolve(self.blur(x), weight, Geometry(stride=2, padding=1), self.bias * self.gain, LEAKY_SLOPE)
