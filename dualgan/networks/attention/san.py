"""SAN: patchwise attention, whose weights a small network reads off a patch of keys (main paper, Eq. 4-7).

Source: Zhao et al., "Exploring self-attention for image recognition", CVPR 2020, as the main paper uses it.
"""

# N batch, C channels, M weight channels, S footprint, H W spatial, P positions

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.networks.attention.aggregation import Offsets, aggregate
from dualgan.networks.attention.base import Attention, Position, SelfAttention, modulate, rows_and_columns
from dualgan.networks.attention.projection import Projection
from dualgan.networks.convolution import Geometry, convolve
from dualgan.networks.layers import LEAKY_GAIN, leaky_relu

SHARE = 4  # value channels that share a weight channel


class FootprintWeights(nn.Module):
    """The two dense layers of Eq. 5 from a patch of keys and a query to the weights of the patch.

    The first layer on concat(flatten(k), q) is an S x S convolution of the keys plus a 1x1 convolution of the queries.

    Args:
        channels: Channels of keys, queries, the hidden layer and the weights (M).
        footprint: Rows and columns of the patch (S).
    """

    def __init__(self, channels: int, footprint: int) -> None:
        super().__init__()
        self.channels, self.footprint = channels, footprint
        self.key_weight = nn.Parameter(torch.randn(channels, channels, footprint, footprint))
        self.query_weight = nn.Parameter(torch.randn(channels, channels, 1, 1))
        self.hidden_bias = nn.Parameter(torch.zeros(channels))
        # Output channel k M + m is weight channel m at the k-th position of the patch, row by row.
        self.weight = nn.Parameter(torch.randn(footprint**2 * channels, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(footprint**2 * channels))
        self.hidden_gain = LEAKY_GAIN / math.sqrt((footprint**2 + 1) * channels)
        self.weight_gain = 1 / math.sqrt(channels)

    # Eq. 5, first line: leakyReLU(p M_w1 + b_w1)
    def hidden(self, key_NMHW: Tensor, query_NMHW: Tensor) -> Tensor:
        """Padded keys and queries [N, M, H, W] -> [N, M, H, W]."""
        y = convolve(key_NMHW, self.key_weight * self.hidden_gain, Geometry())
        y = y.add_(convolve(query_NMHW, self.query_weight * self.hidden_gain, Geometry()))
        return leaky_relu(y.add_((self.hidden_bias * LEAKY_GAIN)[None, :, None, None].to(y.dtype)))

    # Eq. 5, second line: w_hat M_w2 + b_w2
    def parts(self, hidden_NMHW: Tensor) -> Iterator[tuple[Tensor, Offsets]]:
        """Weights [N, S M, H, W] for one row of the patch after the other: all at once would be large."""
        weights = (self.weight * self.weight_gain).chunk(self.footprint)
        rows = zip(weights, self.bias.chunk(self.footprint), strict=True)
        for i, (weight, bias) in enumerate(rows):
            y = convolve(hidden_NMHW, weight, Geometry())
            yield y.add_(bias[None, :, None, None].to(y.dtype)), Offsets(self.footprint, range(i, i + 1))


class PatchwiseAttention(Attention, registered=False):
    """What self-attention and reference attention share: attn(K, Q, V) of Eq. 7 and 8.

    Args:
        channels: Channels of the feature maps, a multiple of 4.
        footprint: Rows and columns of the patch that a position looks at (S).
        normalize: Divide the sum of module and residual by sqrt 2.

    Raises:
        ValueError: The channels are no multiple of 4, or the footprint is not positive.
    """

    footprint: int

    def __init__(self, channels: int, footprint: int = 7, normalize: bool = False) -> None:
        super().__init__(channels, normalize, divisor=SHARE)
        if footprint < 1:
            raise ValueError(f"footprint {footprint} is not positive: the paper has 7, rows and columns of a patch")
        self.footprint = footprint
        width = channels // SHARE
        self.key = Projection(channels, width, bias=True, activate=True)
        self.query = Projection(channels, width, bias=True, activate=True)
        # The sum's factor 1 / s passes through the value's leaky ReLU.
        self.value = Projection(channels, channels, bias=True, activate=True, gain=1 / footprint)
        self.weights = FootprintWeights(width, footprint)

    def check_size(self, height: int, width: int) -> None:
        """Refuse a feature map that reflect padding cannot extend to the footprint.

        Raises:
            ValueError: The footprint is larger than twice the map less one.
        """
        if self.footprint // 2 >= min(height, width):
            raise ValueError(
                f"footprint {self.footprint} is too large for a feature map of {height} x {width}: reflect padding "
                f"allows up to {2 * min(height, width) - 1}"
            )

    # Eq. 4: patches are i - s/2 .. i + s/2 - 1, and symmetric where s is odd
    def pad(self, x_NCHW: Tensor) -> Tensor:
        """Extend by reflection so that every position has a whole patch."""
        before, after = self.footprint // 2, (self.footprint - 1) // 2
        return F.pad(x_NCHW, (before, after, before, after), mode="reflect")

    # Eq. 6: o(i, j) = sum_mn w(m, n) v(m, n), here times 1 / s
    def aggregate(self, hidden_NMHW: Tensor, value_NCHW: Tensor) -> Tensor:
        """Hidden layer of the weights, values -> attn(K, Q, V) [N, C, H, W]."""
        padded = self.pad(value_NCHW)
        sums = (aggregate(weight, padded, offsets) for weight, offsets in self.weights.parts(hidden_NMHW))
        total = next(sums)
        for part in sums:
            total = total.add_(part)
        return total

    def map_at(self, hidden_NMHW: Tensor, positions: Sequence[Position]) -> Tensor:
        """Norm over the weight channels of w at the positions -> [N, P, S, S] (as in Fig. 5)."""
        rows, columns = rows_and_columns(positions, *hidden_NMHW.shape[2:])
        chosen_NMP1 = hidden_NMHW[:, :, rows, columns].unsqueeze(-1)
        weight_NRP = torch.cat([part.squeeze(-1) for part, _ in self.weights.parts(chosen_NMP1)], dim=1)
        footprint = (self.footprint, self.footprint)
        weight_NSSMP = weight_NRP.view(len(hidden_NMHW), *footprint, -1, len(positions))
        wide = torch.promote_types(weight_NRP.dtype, torch.float32)
        norm_NSSP: Tensor = torch.linalg.vector_norm(weight_NSSMP, dim=3, dtype=wide)
        return norm_NSSP.permute(0, 3, 1, 2)


class SAN(SelfAttention, PatchwiseAttention):
    """Patchwise self-attention (main paper, Eq. 4-7): every position weights its patch by a small network.

    Keys and queries have C / 4 channels, and each of C / 4 weight channels serves 4 value channels: value channel c
    is weighted by weight channel c mod C / 4. There is no softmax; the sum is scaled by 1 / s.

    Args:
        channels: Channels of the feature map (C), a multiple of 4.
        footprint: Rows and columns of the patch that a position looks at (s).
        normalize: Divide the sum of module and residual by sqrt 2.

    Raises:
        ValueError: The channels are no multiple of 4, or the footprint is not positive.
    """

    def __init__(self, channels: int, footprint: int = 7, normalize: bool = False) -> None:
        super().__init__(channels, footprint, normalize)
        self.remember(locals())

    def hidden(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Modulated feature map -> hidden layer of the weights."""
        return self.weights.hidden(self.pad(self.key(x_NCHW, style_NC)), self.query(x_NCHW, style_NC))

    # Eq. 7, second line: attn(K(T), Q(T), V(T))
    def attend(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Output of the module without its residual."""
        # Channels last, the shifted views of the values are rows of memory.
        x_NCHW = modulate(x_NCHW.contiguous(memory_format=torch.channels_last), style_NC)
        return self.aggregate(self.hidden(x_NCHW, style_NC), self.value(x_NCHW, style_NC))

    def attention_map(self, x_NCHW: Tensor, positions: Sequence[Position], style_NC: Tensor | None = None) -> Tensor:
        """Norm of the weights over channels, for each position (row, column) and place in its patch -> [N, P, S, S].

        Raises:
            ValueError: A position lies outside of the feature map.
        """
        self.check_input(x_NCHW)
        return self.map_at(self.hidden(modulate(x_NCHW, style_NC), style_NC), positions)
