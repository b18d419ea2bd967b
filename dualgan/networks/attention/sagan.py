"""SAGAN: softmax attention between all positions.

Source: Zhang et al., "Self-attention generative adversarial networks", ICML 2019.
"""

# N batch, C channels, D key channels, V value channels, H W spatial, Q queries (H W), K keys (H/2 W/2), P positions

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks.attention.base import Position, SelfAttention, modulate, rows_and_columns
from dualgan.networks.attention.projection import Projection
from dualgan.networks.layers import EqualizedConv2d


class SAGAN(SelfAttention):
    """Every position attends to all positions of the map pooled to half its size, by a softmax (SAGAN, Eq. 1-3).

    The factor gamma on the result starts at 0: the module starts as the identity.

    Args:
        channels: Channels of the feature map, a multiple of 8.
        normalize: Divide the sum of module and residual by sqrt 2.

    Raises:
        ValueError: The channels are no multiple of 8.
    """

    def __init__(self, channels: int, normalize: bool = False) -> None:
        super().__init__(channels, normalize, divisor=8)
        self.remember(locals())
        self.theta = Projection(channels, channels // 8)
        self.phi = Projection(channels, channels // 8)
        self.g = Projection(channels, channels // 2)
        self.out = EqualizedConv2d(channels // 2, channels, 1, bias=False, activate=False)
        self.gamma = nn.Parameter(torch.zeros([]))

    def check_size(self, height: int, width: int) -> None:
        """Refuse a feature map that cannot be halved.

        Raises:
            ValueError: It has a single row or column.
        """
        if min(height, width) < 2:
            raise ValueError(f"a feature map of {height} x {width} for SAGAN: its keys are pooled, it needs 2 x 2")

    # SAGAN, Eq. 1: beta = softmax over keys of theta(x)^T phi(x); no scaling by 1 / sqrt D
    def attention(self, query_NDQ: Tensor, key_NDK: Tensor) -> Tensor:
        """Queries and keys -> weights [N, Q, K] that sum to 1 over the keys."""
        return torch.softmax(torch.bmm(query_NDQ.transpose(1, 2), key_NDK), dim=2)

    def keys(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Pooled keys [N, D, H/2, W/2] of the modulated feature map."""
        return F.max_pool2d(self.phi(x_NCHW, style_NC), 2)

    # SAGAN, Eq. 2: o = v(sum over keys of beta h(x)), times gamma of Eq. 3
    def attend(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Output of the module without its residual."""
        x_NCHW = modulate(x_NCHW, style_NC)
        query_NDQ = self.theta(x_NCHW, style_NC).flatten(2)
        key_NDK = self.keys(x_NCHW, style_NC).flatten(2)
        value_NVK = F.max_pool2d(self.g(x_NCHW, style_NC), 2).flatten(2)
        out_NQV = torch.bmm(self.attention(query_NDQ, key_NDK), value_NVK.transpose(1, 2))
        # [N, H, W, V] seen as [N, V, H, W] is channels last: no copy
        out_NVHW = out_NQV.view(x_NCHW.shape[0], *x_NCHW.shape[2:], -1).permute(0, 3, 1, 2)
        out_NCHW: Tensor = self.out(out_NVHW)
        return out_NCHW * self.gamma.to(out_NCHW.dtype)

    def attention_map(self, x_NCHW: Tensor, positions: Sequence[Position], style_NC: Tensor | None = None) -> Tensor:
        """Softmax of each position (row, column) over the keys -> [N, P, H/2, W/2].

        Raises:
            ValueError: A position lies outside of the feature map.
        """
        self.check_input(x_NCHW)
        rows, columns = rows_and_columns(positions, *x_NCHW.shape[2:])
        x_NCHW = modulate(x_NCHW, style_NC)
        query_NDP = self.theta(x_NCHW, style_NC)[:, :, rows, columns]
        key_NDHW = self.keys(x_NCHW, style_NC)
        return self.attention(query_NDP, key_NDHW.flatten(2)).view(len(x_NCHW), -1, *key_NDHW.shape[2:])
