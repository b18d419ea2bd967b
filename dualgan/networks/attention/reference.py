"""Reference attention: the primary image's features, attended to as a reference image tells (main paper, Eq. 8)."""

# N batch, C channels, S footprint, H W spatial, P positions

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dualgan.networks.attention.base import Position
from dualgan.networks.attention.san import PatchwiseAttention

Source = Literal["primary", "reference"]


class Sources(NamedTuple):
    """Which image keys, queries and values come from."""

    key: Source
    query: Source
    value: Source


SOURCES = {
    # Main paper, Eq. 8: attn(K(T_ref), Q(T_ref), V(T_pri))
    "eq8": Sources("reference", "reference", "primary"),
    # Supplement, Eq. 1: attn(K(T_pri), Q(T_ref), V(T_ref))
    "eq1": Sources("primary", "reference", "reference"),
    # Supplement, Eq. 2: attn(K(T_pri), Q(T_ref), V(T_pri))
    "eq2": Sources("primary", "reference", "primary"),
}


class ReferenceAttention(PatchwiseAttention):
    """Patchwise attention between two images; the residual is always the primary image's (main paper, Eq. 8).

    Args:
        channels: Channels of the feature maps, a multiple of 4.
        sources: "eq8" takes keys and queries from the reference and values from the primary image (main paper);
            "eq1" keys from the primary, queries and values from the reference (supplement, Eq. 1);
            "eq2" keys and values from the primary, queries from the reference (supplement, Eq. 2).
        footprint: Rows and columns of the patch that a position looks at.
        normalize: Divide the sum of module and residual by sqrt 2.

    Raises:
        ValueError: Unknown sources, channels that are no multiple of 4, or a footprint that is not positive.
    """

    def __init__(
        self,
        channels: int,
        sources: Literal["eq8", "eq1", "eq2"] = "eq8",
        footprint: int = 7,
        normalize: bool = False,
    ) -> None:
        super().__init__(channels, footprint, normalize)
        self.remember(locals())
        if sources not in SOURCES:
            raise ValueError(f"unknown sources {sources!r}: expected one of {', '.join(SOURCES)}")
        self.sources = SOURCES[sources]

    def check_pair(self, primary_NCHW: Tensor, reference_NCHW: Tensor, kinds: int = 1) -> None:
        """Match the two feature maps with the module and each other.

        Raises:
            ValueError: They do not fit.
        """
        self.check_input(primary_NCHW)
        (count, *size), (references, *other) = primary_NCHW.shape, reference_NCHW.shape
        if size != other or count != kinds * references:
            shared = "" if kinds == 1 else f", shared by {kinds} kinds of primary images"
            raise ValueError(
                f"primary features of shape {tuple(primary_NCHW.shape)} and reference features of shape "
                f"{tuple(reference_NCHW.shape)}: give every primary image one reference image of the same size{shared}"
            )

    def hidden(self, maps: dict[Source, Tensor]) -> Tensor:
        """Feature maps -> hidden layer of the weights, for as many images as there are keys or queries."""
        key, query = self.key(maps[self.sources.key]), self.query(maps[self.sources.query])
        return self.weights.hidden(self.pad(key), spread(query, len(key)))

    # Eq. 8: O = attn(K, Q, V) + T_pri
    def forward(self, primary_NCHW: Tensor, reference_NCHW: Tensor, kinds: int = 1) -> Tensor:
        """Feature maps of the primary and the reference images, pair by pair -> [N, C, H, W].

        The primary images may be of several kinds one after another (real and generated ones): each of the `kinds`
        equal parts is paired with the same N / kinds reference images.

        Raises:
            ValueError: The feature maps do not fit the module or each other.
        """
        self.check_pair(primary_NCHW, reference_NCHW, kinds)
        maps: dict[Source, Tensor] = {
            # Channels last, the shifted views of the values are rows of memory.
            "primary": primary_NCHW.contiguous(memory_format=torch.channels_last),
            "reference": reference_NCHW.contiguous(memory_format=torch.channels_last),
        }
        hidden, value = self.hidden(maps), self.value(maps[self.sources.value])
        count = len(primary_NCHW)
        return self.add_residual(self.aggregate(spread(hidden, count), spread(value, count)), primary_NCHW)

    def attention_map(self, primary_NCHW: Tensor, reference_NCHW: Tensor, positions: Sequence[Position]) -> Tensor:
        """Norm of the weights over channels, for each position (row, column) and place in its patch -> [N, P, S, S].

        Raises:
            ValueError: The feature maps do not fit the module or each other, or a position lies outside of them.
        """
        self.check_pair(primary_NCHW, reference_NCHW)
        return self.map_at(self.hidden({"primary": primary_NCHW, "reference": reference_NCHW}), positions)


def spread(x: Tensor, count: int) -> Tensor:
    """Repeat what came from the reference images until it is `count` long; unlike `Tensor.repeat` in its layout."""
    return x if len(x) == count else torch.cat([x] * (count // len(x)))
