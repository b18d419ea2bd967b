"""Penalties on gradients: R1, R2 and WGAN-GP on the discriminator, path length on the generator."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

Scorer = Callable[[Tensor], Tensor]  # images [N, C, R, R] -> logits [N]


# grad_x D(x); logits of one sample do not depend on another's pixels but for minibatch statistics
def image_gradient(score: Scorer, images: Tensor) -> Tensor:
    """Gradient of the summed logits with respect to the images, itself differentiable. [N, C, R, R]."""
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    return gradient


def squared_norms(gradient: Tensor) -> Tensor:
    """Squared Euclidean norm per sample: [N, ...] -> [N]."""
    return gradient.flatten(1).square().sum(dim=1)


class DiscriminatorPenalty(ABC):
    """A penalty on D's gradient, added to its loss at every lazy step.

    Attributes:
        needs_fake: The penalty looks at generated images; `fake` may be None otherwise.
        needs_real: It looks at real images too, of the same classes.

    Args:
        weight: Strength of the penalty.
        name: What it is called in the logs.
    """

    needs_fake: bool = False
    needs_real: bool = True

    def __init__(self, weight: float, name: str) -> None:
        self.weight, self.name = weight, name

    @abstractmethod
    def __call__(self, score: Scorer, real: Tensor, fake: Tensor | None) -> Tensor:
        """Penalty for `score` at real and generated images [N, C, R, R] in [-1, 1]. Returns a scalar."""


class R1(DiscriminatorPenalty):
    """Gradient penalty on real images. Source: Mescheder et al., ICML 2018, Eq. 9.

    Args:
        gamma: Strength; 100 for StyleGAN2 config E at 256x256 and batch 32, smaller for smaller images.
    """

    def __init__(self, gamma: float = 100.0) -> None:
        super().__init__(gamma, "r1")

    # Eq. 9: gamma / 2 E[||grad D(x)||^2]
    def __call__(self, score: Scorer, real: Tensor, fake: Tensor | None) -> Tensor:
        """Scalar penalty on the real images [N, C, R, R]."""
        return self.weight / 2 * squared_norms(image_gradient(score, real)).mean()


class R2(DiscriminatorPenalty):
    """R1's penalty on generated images. Source: Mescheder et al., ICML 2018, Eq. 10.

    Args:
        gamma: Strength.
    """

    needs_fake, needs_real = True, False

    def __init__(self, gamma: float = 100.0) -> None:
        super().__init__(gamma, "r2")

    # Eq. 10: gamma / 2 E[||grad D(G(z))||^2]
    def __call__(self, score: Scorer, real: Tensor, fake: Tensor | None) -> Tensor:
        """Scalar penalty on the generated images [N, C, R, R]."""
        assert fake is not None
        return self.weight / 2 * squared_norms(image_gradient(score, fake)).mean()


class GradientPenalty(DiscriminatorPenalty):
    """WGAN-GP: gradient norm 1 on lines between real and generated images. Source: Gulrajani et al., 2017, Eq. 3.

    Args:
        weight: Strength; the paper uses 10.
    """

    needs_fake = True

    def __init__(self, weight: float = 10.0) -> None:
        super().__init__(weight, "gradient_penalty")

    # Eq. 3: lambda E[(||grad D(x_hat)|| - 1)^2], x_hat uniform between x and G(z)
    def __call__(self, score: Scorer, real: Tensor, fake: Tensor | None) -> Tensor:
        """Scalar penalty between the real and the generated images, both [N, C, R, R]."""
        assert fake is not None
        between = torch.lerp(real, fake, self.positions(real))
        norms = (squared_norms(image_gradient(score, between)) + 1e-12).sqrt()
        return self.weight * (norms - 1).square().mean()

    def positions(self, real: Tensor) -> Tensor:
        """Where on its line each image lies, uniform from 0 (real) to 1 (generated): [N, 1, 1, 1]."""
        return torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)


class PathLength:
    """Keep the length of G's Jacobian, seen from w, near its running mean. Source: StyleGAN2, Eq. 4.

    Args:
        weight: Strength.
        decay: How far the running mean moves towards the batch's at each application.
        batch_shrink: Apply it to a batch this many times smaller.
    """

    def __init__(self, weight: float = 2.0, decay: float = 0.01, batch_shrink: int = 2) -> None:
        self.weight, self.decay, self.batch_shrink = weight, decay, batch_shrink

    def path_lengths(self, images: Tensor, ws: Tensor, noise: Tensor | None = None) -> Tensor:
        """||J_w^T y|| per sample, averaged over layers, for images [N, C, R, R] made from ws [N, L, d].

        `noise` y [N, C, R, R] is standard normal, drawn here where it is not given. Returns [N].
        """
        y = torch.randn_like(images) if noise is None else noise
        # y / sqrt(R * R): the length does not depend on the resolution
        scaled = y / math.sqrt(images.shape[2] * images.shape[3])
        (gradient,) = torch.autograd.grad((images * scaled).sum(), ws, create_graph=True)
        return gradient.square().sum(dim=2).mean(dim=1).sqrt()

    def moved_mean(self, lengths: Tensor, mean_length: Tensor) -> Tensor:
        """The running mean (a scalar) after it has moved towards that of path lengths [N]; with their gradient."""
        return mean_length.lerp(lengths.mean(), self.decay)

    # Eq. 4: E[(||J_w^T y|| - a)^2]; a moves before it is used, and takes part in the gradient
    def penalty(self, lengths: Tensor, mean_length: Tensor) -> Tensor:
        """Scalar penalty for path lengths [N] around the running mean (a scalar)."""
        return self.weight * (lengths - mean_length).square().mean()
