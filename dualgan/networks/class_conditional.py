"""Where the class enters: class-conditional batch normalisation in a generator, projection in a discriminator."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dualgan.networks import spectral
from dualgan.networks.layers import widened
from dualgan.networks.scale_shift import scale_shift
from dualgan.runtime.precision import without_autocast


class ClassTable(nn.Linear):
    """Numbers for every class: a linear function, without bias, of its one-hot vector, which starts as 0."""

    def __init__(self, num_classes: int, num_features: int) -> None:
        super().__init__(num_classes, num_features, bias=False)
        nn.init.zeros_(self.weight)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias depend on a condition (Dumoulin et al., ICLR 2017).

    The condition is a class as a one-hot vector, and gain and bias then a table, or it is an embedding that all layers
    share, maybe with a part of z, as in BigGAN.

    Args:
        num_features: Channels.
        condition_dim: Width of the condition.
        linear: Makes the layer from the condition to the gain less 1, and the one to the bias.
        eps: Added to the variance.
        momentum: Part of a batch in the running statistics.

    Attributes:
        norm: The normalisation without gain and bias, and its running statistics.
    """

    def __init__(
        self,
        num_features: int,
        condition_dim: int,
        linear: Callable[[int, int], nn.Module] = ClassTable,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_features, eps, momentum, affine=False)
        self.gain = linear(condition_dim, num_features)
        self.bias = linear(condition_dim, num_features)

    # y = (1 + gain(c)) (x - mean) / std + bias(c)
    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[N, num_features, H, W], [N, condition_dim] -> [N, num_features, H, W]."""
        y = self.norm(x)
        gain, bias = ((layer(condition)[:, :, None, None]).to(y.dtype) for layer in (self.gain, self.bias))
        return scale_shift(y, gain, y + bias)


class ProjectionHead(nn.Module):
    """Logits from features, with classes plus the projection of the features on the class's embedding.

    Weights are spectrally normalised.

    Args:
        num_features: Width of the features.
        num_classes: Number of classes; 0 is without projection.
        bias: Learn a bias.
        normalised: Normalises a layer, and may give it other weights.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int = 0,
        bias: bool = True,
        normalised: Callable[[Any], Any] = spectral.normalised,
    ) -> None:
        super().__init__()
        self.linear = normalised(spectral.Linear(num_features, 1, bias=bias))
        self.embedding = normalised(spectral.Embedding(num_classes, num_features)) if num_classes else None

    # Miyato & Koyama, ICLR 2018, Eq. 6: f(x, y) = psi(phi(x)) + <V y, phi(x)>
    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features [N, num_features, ...], class indices [N] -> logits [N, ...] in full precision."""
        with without_autocast(features.device.type):
            last = widened(features).movedim(1, -1)
            logits: Tensor = self.linear(last).squeeze(-1)
            if self.embedding is None:
                return logits
            return logits + torch.einsum("nf,n...f->n...", self.embedding(labels), last)
