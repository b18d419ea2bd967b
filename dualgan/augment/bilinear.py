"""Bilinear samples of images at given places, differentiable any number of times on every device and by every torch.

Penalties differentiate D's input gradient once more. cuDNN's sampler has no second derivative, and that of torch's own
kernels is younger than the releases this package runs with; but samples at fixed places are linear in the images, so
that the adjoint of the sampler is all that is needed: each of the two is the derivative of the other.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

BILINEAR, ZEROS, ALIGN_CORNERS = 0, 0, True  # numbers and flags of torch's own operators


def sample(images: Tensor, places: Tensor) -> Tensor:
    """Images [N, C, H, W] at places [N, h, w, 2] (x, y) -> [N, C, h, w]; gradients reach the images alone.

    Places go from -1, the centre of the first pixel, to 1, that of the last.
    """
    sampled: Tensor = _Sampling.apply(images, places)
    return sampled


class _Sampling(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = images.shape
        sampled: Tensor = torch.ops.aten.grid_sampler_2d(images, places, BILINEAR, ZEROS, ALIGN_CORNERS)
        return sampled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _Adjoint.apply(gradient, places, ctx.size), None


class _Adjoint(Function):
    @staticmethod
    def forward(ctx: Any, samples: Tensor, places: Tensor, size: torch.Size) -> Tensor:
        ctx.save_for_backward(places)
        images = samples.new_empty(size)  # only its size matters for the first of the two gradients
        found: tuple[Tensor, Tensor] = torch.ops.aten.grid_sampler_2d_backward(
            samples, images, places, BILINEAR, ZEROS, ALIGN_CORNERS, (True, False)
        )
        return found[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return _Sampling.apply(gradient, places), None, None
