"""Layers whose weights are divided by their spectral norm (Miyato et al., ICLR 2018), by torch's parametrization.

One step of the power iteration per call in training mode, none in eval mode: networks with these layers are not
`repeatable`. The norm is computed in float32 under autocast, too; with bfloat16's 8 bits it would be off by a percent.
"""

from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from dualgan.networks.convolution import Geometry, convolve, pointwise
from dualgan.runtime.precision import without_autocast


class Conv2d(nn.Conv2d):
    """nn.Conv2d of an odd kernel that keeps the resolution; fast at second derivatives, and on CPUs."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, **options)
        self.geometry = Geometry(padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W]."""
        weight = full_precision_weight(self, x)
        thin = weight.shape[1] < 8 or weight.shape[2] > 1  # then the product of `pointwise` is thin and slow
        return convolve(x, weight, self.geometry, self.bias) if thin else pointwise(x, weight, self.bias)


class Linear(nn.Linear):
    """nn.Linear."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        return nn.functional.linear(x, full_precision_weight(self, x), self.bias)


class Embedding(nn.Embedding):
    """nn.Embedding."""

    def forward(self, labels: Tensor) -> Tensor:
        """Class indices [...] -> [..., embedding_dim]."""
        return nn.functional.embedding(labels, full_precision_weight(self, labels))


def full_precision_weight(layer: nn.Module, x: Tensor) -> Tensor:
    """The weight of a layer, which parametrizations compute, as it is without autocast on the device of `x`."""
    with without_autocast(x.device.type):
        weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight


Layer = TypeVar("Layer", bound=nn.Module)


def normalised(layer: Layer, eps: float = 1e-12) -> Layer:
    """The layer, its weight divided by its spectral norm.

    It is one of the three above, whose weight is seen as a matrix with a row per output, or per class.
    """
    return cast(Layer, spectral_norm(layer, eps=eps))


@torch.no_grad()
def settle(layer: nn.Module) -> None:
    """Let the power iteration of a normalised layer, whose weight was given other numbers, start where it would end.

    Other layers are left as they are.
    """
    if not is_parametrized(layer, "weight"):
        return
    weight, vectors = (
        layer.get_parameter("parametrizations.weight.original"),
        layer.get_submodule("parametrizations.weight.0"),
    )
    left, _, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    vectors.get_buffer("_u").copy_(left[:, 0])
    vectors.get_buffer("_v").copy_(right[0])
