"""What every attention module answers, and how one is chosen, described and rebuilt."""

# N batch, C channels, H W spatial, P positions

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from dualgan.networks.description import Described
from dualgan.networks.shapes import shapes_only
from dualgan.runtime.imports import import_trusted

Position = tuple[int, int]  # row and column, in pixels of the feature map

PROBE_CHANNELS = 64


class Attention(Described, nn.Module):
    """A module with a residual connection that keeps the shape of a feature map.

    Args:
        channels: Channels of the feature map.
        normalize: Divide the sum of module and residual by sqrt 2.
        divisor: What the channels must be a multiple of.

    Raises:
        ValueError: The channels are no positive multiple of `divisor`.
    """

    registry: ClassVar[dict[str, type["Attention"]]] = {}
    footprint: int | None = None  # rows and columns of the patch that a position looks at; None is the whole map

    def __init_subclass__(cls, registered: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if registered:
            Attention.registry[cls.known_as()] = cls

    def __init__(self, channels: int, normalize: bool = False, divisor: int = 1) -> None:
        super().__init__()
        if channels < 1 or channels % divisor:
            raise ValueError(
                f"{type(self).__name__} of {channels} channels: it needs a positive multiple of {divisor}; "
                f"choose another layer or other channel widths"
            )
        self.channels, self.normalize = channels, normalize

    def describe(self) -> dict[str, Any]:
        """Class name and options as plain data that `attention_class` takes back; the layer gives the channels."""
        options = {name: value for name, value in self.init_args.items() if name != "channels"}
        return {"class_name": self.known_as(), "init_args": options}

    def check_size(self, height: int, width: int) -> None:
        """Refuse a feature map that is too small; any size will do unless a module says otherwise.

        Raises:
            ValueError: The map is too small.
        """

    def check_input(self, x_NCHW: Tensor) -> None:
        """Match a feature map with the module.

        Raises:
            ValueError: It has other channels or dimensions, or is too small.
        """
        if x_NCHW.dim() != 4 or x_NCHW.shape[1] != self.channels:
            raise ValueError(
                f"a feature map of shape {tuple(x_NCHW.shape)} for {type(self).__name__}: "
                f"expected [N, {self.channels}, H, W]"
            )
        self.check_size(*x_NCHW.shape[2:])

    # Eq. 7, third line: O = attn(T) + T
    def add_residual(self, out_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
        """Sum of the module's output and T, over sqrt 2 where asked."""
        total = out_NCHW.to(x_NCHW.dtype) + x_NCHW
        return total * math.sqrt(0.5) if self.normalize else total


class SelfAttention(Attention, registered=False):
    """Attention of one feature map on itself."""

    has_map: ClassVar[bool] = True

    def forward(self, x_NCHW: Tensor, style_NC: Tensor | None = None) -> Tensor:
        """Feature map, and a style that modulates the 1x1 convolutions on it -> feature map of the same shape.

        Raises:
            ValueError: The feature map does not fit the module.
        """
        self.check_input(x_NCHW)
        return self.add_residual(self.attend(x_NCHW, style_NC), x_NCHW)

    def attend(self, x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
        """Output of the module without its residual."""
        raise NotImplementedError

    def attention_map(self, x_NCHW: Tensor, positions: Sequence[Position], style_NC: Tensor | None = None) -> Tensor:
        """Where each of the positions (row, column) looks -> [N, P, ...], not negative.

        Raises:
            ValueError: This module has no map, or a position lies outside of the feature map.
        """
        raise ValueError(
            f"{type(self).__name__} has no attention map: its filter is the same at all positions; use SAN, SAGAN or VT"
        )


def modulate(x_NCHW: Tensor, style_NC: Tensor | None) -> Tensor:
    """Feature map times the style of its channels, if there is one."""
    return x_NCHW if style_NC is None else x_NCHW * style_NC[:, :, None, None].to(x_NCHW.dtype)


def rows_and_columns(positions: Sequence[Position], height: int, width: int) -> tuple[list[int], list[int]]:
    """Split positions into what indexes a feature map [..., height, width].

    Raises:
        ValueError: There is none, or one lies outside.
    """
    if not positions:
        raise ValueError("no positions: pass at least one pair (row, column)")
    for row, column in positions:
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f"position ({row}, {column}) lies outside of the feature map of {height} x {width}: "
                f"rows are 0 to {height - 1}, columns 0 to {width - 1}"
            )
    return [int(row) for row, _ in positions], [int(column) for _, column in positions]


def describe_attention(attention: Callable[[int], Attention]) -> dict[str, Any]:
    """Plain data for a callable from channels to attention: a class, a partial or any function.

    Raises:
        ValueError: It is an instance, cannot be called, or makes something else.
    """
    if isinstance(attention, nn.Module):
        raise ValueError(
            f"attention is an instance of {type(attention).__name__}: pass the class, or with options "
            f"functools.partial({type(attention).__name__}, ...); the layer's channels complete it"
        )
    if not callable(attention):
        raise ValueError(
            f"attention {attention!r} is no class or function: a layer takes a single module, so pass one of {_names()}"
        )
    with shapes_only():
        made = attention(PROBE_CHANNELS)
    if not isinstance(made, Attention):
        raise ValueError(f"attention makes a {type(made).__name__}: expected one of {_names()}")
    return made.describe()


def attention_class(description: Any) -> Callable[[int], Attention]:
    """Take back what `describe_attention` gave, possibly from an untrusted file.

    Raises:
        ValueError: It is no such description, or the class is not one of this package's attention modules.
    """
    name = description.get("class_name") if isinstance(description, dict) else None
    options = description.get("init_args", {}) if isinstance(description, dict) else None
    if not isinstance(name, str) or not isinstance(options, dict):
        raise ValueError(
            f"attention is described by {description!r}: expected a dictionary of class_name, one of {_names()}, and "
            f"init_args; the checkpoint may be damaged"
        )
    if name not in Attention.registry and not (import_trusted(name) and name in Attention.registry):
        raise ValueError(f"unknown attention {name!r}: expected one of {_names()}")
    known = Attention.registry[name]
    if unknown := options.keys() - inspect.signature(known).parameters:
        raise ValueError(
            f"{name} has no option {', '.join(map(repr, sorted(unknown, key=str)))}: the checkpoint may be damaged"
        )
    return partial(known, **options)


def _names() -> str:
    return ", ".join(sorted(Attention.registry))
