"""VT: the map is summed up in a few tokens, which talk to each other and are read back by every position.

Source: Wu et al., "Visual transformers: token-based image representation and processing for computer vision", 2020.
"""

# N batch, C channels, L tokens, E token width, H W spatial, Q positions (H W), P chosen positions

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dualgan.networks.attention.base import Position, SelfAttention, modulate, rows_and_columns
from dualgan.networks.attention.projection import Projection
from dualgan.networks.layers import EqualizedLinear


class TokenTransformer(nn.Module):
    """One transformer layer on tokens: attention between them, then two dense layers on each (VT, Eq. 3-4).

    Args:
        width: Width of a token (E).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key, self.query = EqualizedLinear(width, width), EqualizedLinear(width, width)
        self.hidden, self.out = EqualizedLinear(width, width, activate=True), EqualizedLinear(width, width)

    # VT, Eq. 3: T' = T + softmax_L((T K)(T Q)^T) T, with the logits over sqrt E
    # VT, Eq. 4: T'' = T' + sigma(T' F_1) F_2
    def forward(self, token_NLE: Tensor) -> Tensor:
        """[N, L, E] -> [N, L, E]."""
        logits_NLL = torch.bmm(self.key(token_NLE), self.query(token_NLE).transpose(1, 2))
        mixed_NLE = token_NLE + torch.bmm(torch.softmax(logits_NLL / math.sqrt(token_NLE.shape[2]), 2), token_NLE)
        out_NLE: Tensor = mixed_NLE + self.out(self.hidden(mixed_NLE))
        return out_NLE


class VT(SelfAttention):
    """Filter tokenizer, one transformer layer on the tokens, projector (VT, Eq. 1 and 3-5).

    The last layer starts at 0: the module starts as the identity.

    Args:
        channels: Channels of the feature map (C).
        tokens: Number of tokens (L).
        token_width: Width of a token (E).
        normalize: Divide the sum of module and residual by sqrt 2.

    Raises:
        ValueError: The number or width of the tokens is not positive.
    """

    def __init__(self, channels: int, tokens: int = 16, token_width: int = 512, normalize: bool = False) -> None:
        super().__init__(channels, normalize)
        self.remember(locals())
        if min(tokens, token_width) < 1:
            raise ValueError(f"{tokens} tokens of width {token_width}: both must be positive, such as 16 and 512")
        self.token_width = token_width
        self.tokenizer = Projection(channels, tokens)
        self.value = Projection(channels, token_width)
        self.transformer = TokenTransformer(token_width)
        self.query = Projection(channels, token_width)
        self.key = EqualizedLinear(token_width, token_width)
        self.out = EqualizedLinear(token_width, channels)
        nn.init.zeros_(self.out.weight)

    # VT, Eq. 1: A = softmax over positions of X W_A
    def token_maps(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Modulated feature map -> maps [N, L, Q] that sum to 1 over the positions."""
        return torch.softmax(self.tokenizer(x_NCHW, style_NC).flatten(2), dim=2)

    def tokens(self, map_NLQ: Tensor, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Maps and modulated feature map -> tokens [N, L, E], the transformer's work included."""
        value_NEQ = self.value(x_NCHW, style_NC).flatten(2)
        token_NLE: Tensor = self.transformer(torch.bmm(map_NLQ, value_NEQ.transpose(1, 2)))
        return token_NLE

    # VT, Eq. 5: softmax over tokens of (X W_Q)(T W_K)^T, with the logits over sqrt E
    def reading(self, query_NEQ: Tensor, token_NLE: Tensor) -> Tensor:
        """Queries and tokens -> weights [N, Q, L] that sum to 1 over the tokens."""
        logits_NQL = torch.bmm(query_NEQ.transpose(1, 2), self.key(token_NLE).transpose(1, 2))
        return torch.softmax(logits_NQL / math.sqrt(self.token_width), dim=2)

    def attend(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Output of the module without its residual."""
        x_NCHW = modulate(x_NCHW, style_NC)
        token_NLE = self.tokens(self.token_maps(x_NCHW, style_NC), x_NCHW, style_NC)
        weight_NQL = self.reading(self.query(x_NCHW, style_NC).flatten(2), token_NLE)
        out_NQC = torch.bmm(weight_NQL, self.out(token_NLE))
        return out_NQC.view(x_NCHW.shape[0], *x_NCHW.shape[2:], -1).permute(0, 3, 1, 2)

    def attention_map(self, x_NCHW: Tensor, positions: Sequence[Position], style_NC: Tensor | None = None) -> Tensor:
        """Maps of the tokens that a position (row, column) reads, by how much it reads them -> [N, P, H, W].

        A map sums to 1. What the transformer moves between the tokens is left out.

        Raises:
            ValueError: A position lies outside of the feature map.
        """
        self.check_input(x_NCHW)
        rows, columns = rows_and_columns(positions, *x_NCHW.shape[2:])
        x_NCHW = modulate(x_NCHW, style_NC)
        map_NLQ = self.token_maps(x_NCHW, style_NC)
        query_NEP = self.query(x_NCHW, style_NC)[:, :, rows, columns]
        weight_NPL = self.reading(query_NEP, self.tokens(map_NLQ, x_NCHW, style_NC))
        return torch.bmm(weight_NPL, map_NLQ).view(len(x_NCHW), -1, *x_NCHW.shape[2:])
