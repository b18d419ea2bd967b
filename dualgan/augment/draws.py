"""Random numbers of augmentations, one per image."""

import torch
from torch import Tensor


class Draws:
    """Draws from torch's global generators, which `Critic` reseeds before every pass.

    Args:
        images: For how many images, where and in which precision: [N, ...].
    """

    def __init__(self, images: Tensor) -> None:
        self.like = images[:, 0, 0, 0].detach()

    def uniform(self) -> Tensor:
        """Numbers [N] from 0 to 1."""
        return torch.rand_like(self.like)

    def normal(self) -> Tensor:
        """Numbers [N] of the standard normal distribution."""
        return torch.randn_like(self.like)

    def happens(self, probability: Tensor) -> Tensor:
        """Whether it happens to each image, bool [N]; never at probability 0, always at 1."""
        return torch.rand_like(self.like) < probability
