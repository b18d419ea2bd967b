"""Orthogonal regularization of both players' weights (Brock et al., ICLR 2019, section 3.1)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dualgan.auxiliary.base import AuxiliaryTask, StepView
from dualgan.networks import Discriminator
from dualgan.networks.class_conditional import ClassTable
from dualgan.runtime.precision import without_autocast


class OrthogonalRegularization(AuxiliaryTask):
    """Keeps the rows of each weight matrix orthogonal to each other, and leaves their lengths alone.

    Of spectrally normalised layers it is the weight before its normalisation. Embeddings are left out.

    Source: Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019, Eq. 3, of
    rows and with half of its weight, as in its authors' PyTorch code.

    Args:
        discriminator: D.
        generator: Weight in G's loss; 0 is none.
        weight: Weight in D's loss; 0 is none.

    Raises:
        ValueError: A weight is below 0, or both are 0.
    """

    needs_trunk = sized_by_data = False

    def __init__(self, discriminator: Discriminator, weight: float = 1e-4, generator: float = 1e-4) -> None:
        super().__init__(discriminator)
        if min(weight, generator) < 0 or not (weight or generator):
            raise ValueError(
                f"OrthogonalRegularization: weight {weight:g} and generator {generator:g} are out of range: expected 0 "
                f"or more, and one above 0"
            )
        self.name = "orthogonal"
        self.weight, self.generator = weight, generator

    def discriminator_loss(self, view: StepView) -> Tensor | None:
        """Of D's weights."""
        return self.weight * orthogonality(matrices(view.discriminator)) if self.weight else None

    def generator_loss(self, view: StepView) -> Tensor | None:
        """Of G's weights."""
        return self.generator * orthogonality(matrices(view.generator)) if self.generator else None


def matrices(network: nn.Module) -> list[Tensor]:
    """Trained weights of a network, each as a matrix with a row per output.

    Embeddings are left out, modules as well as bare parameters of that name, and so is what has a value per channel and
    pixel: constant maps that a network starts from or ends in.
    """
    embeddings = [module for module in network.modules() if isinstance(module, nn.Embedding | ClassTable)]
    left_out = {parameter for embedding in embeddings for parameter in embedding.parameters()}
    found = [
        p
        for name, p in network.named_parameters()
        if p.dim() in (2, 4) and p.requires_grad and p not in left_out and name.rpartition(".")[2] != "embedding"
    ]
    return [parameter.flatten(1) for parameter in found]


# Eq. 3 with the rows' products: 1/2 ||W W^T o (1 - I)||^2, whose gradient is 2 (W W^T o (1 - I)) W
def orthogonality(weights: Iterable[Tensor]) -> Tensor:
    """Sum of squares of the scalar products of all pairs of rows of each matrix [m, n]; a scalar."""
    return torch.stack([_of_one(weight) for weight in weights]).sum()


def _of_one(weight: Tensor) -> Tensor:
    with without_autocast(weight.device.type):
        return torch.triu(weight @ weight.T, diagonal=1).square().sum()
