"""Latents near others: what makes a second view of a generated image."""

from typing import Literal

from torch import Tensor

Perturbation = Literal["none", "isotropic", "noise_related"]

SCALES: dict[Perturbation, float] = {"none": 0.0, "isotropic": 0.15, "noise_related": 0.1}
CLAMP = 3.0


def perturbed(z: Tensor, noise: Tensor, kind: Perturbation, scale: float) -> Tensor:
    """Latents [N, z_dim] moved by standard normal noise [N, z_dim] times `scale`.

    Args:
        z: Standard normal latents.
        noise: Of the same shape.
        kind: isotropic moves all numbers alike (InsGen, z + 0.15 noise); noise_related moves each in proportion to its
            size (FakeCLR, z + 0.1 clamp(|z|, 0, 3) noise); none does not move them.
        scale: Strength.
    """
    if kind == "none":
        return z
    return z + scale * (z.abs().clamp(0, CLAMP) if kind == "noise_related" else 1.0) * noise
