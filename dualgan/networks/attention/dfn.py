"""DFN: one convolution per sample whose filter is made from the sample itself.

Source: De Brabandere et al., "Dynamic filter networks", NeurIPS 2016, in the form that keeps the convolution
("sliding" filters, as the main paper describes it).
"""

# N batch, B bottleneck, C channels (out, in), H W spatial

import torch
from torch import Tensor, nn

from dualgan.networks.attention.base import SelfAttention, modulate
from dualgan.networks.attention.projection import Projection
from dualgan.networks.convolution import Geometry, convolve


class DFN(SelfAttention):
    """Convolution with a 3x3 filter that two dense layers make from the mean over all positions, demodulated.

    Args:
        channels: Channels of the feature map.
        bottleneck: Width of the layer between the mean and the filter's 9 C^2 numbers.
        normalize: Divide the sum of module and residual by sqrt 2.

    Raises:
        ValueError: The bottleneck is not positive.
    """

    has_map = False

    def __init__(self, channels: int, bottleneck: int = 56, normalize: bool = False) -> None:
        super().__init__(channels, normalize)
        self.remember(locals())
        if bottleneck < 1:
            raise ValueError(
                f"bottleneck {bottleneck} is not positive: 56 gives about the paper's number of parameters"
            )
        self.squeeze = Projection(channels, bottleneck, bias=True, activate=True)
        # Demodulation cancels any constant scale of these. Two dimensions: with five, no module that holds this one
        # could be moved to channels_last.
        self.weight = nn.Parameter(torch.randn(bottleneck, channels * channels * 9))

    def filters(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Feature map -> filters [N, C, C, 3, 3] before demodulation."""
        mean_NC11 = x_NCHW.mean(dim=(2, 3), keepdim=True)
        code_NB = self.squeeze(modulate(mean_NC11, style_NC), style_NC).flatten(1)
        filter_NF = torch.mm(code_NB, self.weight.to(code_NB.dtype))
        return filter_NF.view(-1, self.channels, self.channels, 3, 3)

    # One convolution of N groups is N convolutions of one group each.
    def attend(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Output of the module without its residual."""
        n, c, h, w = x_NCHW.shape
        filter_NCCHW = self.filters(x_NCHW, style_NC)
        y = convolve(x_NCHW.reshape(1, n * c, h, w), filter_NCCHW.flatten(0, 1), Geometry(padding=1, groups=n))
        factor_NC = torch.rsqrt(filter_NCCHW.square().sum(dim=(2, 3, 4)) + 1e-8)
        y_NCHW = y.reshape(n, c, h, w).contiguous(memory_format=torch.channels_last)
        return y_NCHW * factor_NC[:, :, None, None].to(y.dtype)
