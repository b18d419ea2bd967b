"""Losses: what is minimised."""

from dualgan.losses.adversarial import AdversarialLoss, Hinge, NonSaturating, Saturating, Wasserstein
from dualgan.losses.dual_contrastive import DualContrastive
from dualgan.losses.regularizers import R1, R2, DiscriminatorPenalty, GradientPenalty, PathLength
from dualgan.losses.relativistic import RelativisticPairing

__all__ = [
    "R1",
    "R2",
    "AdversarialLoss",
    "DiscriminatorPenalty",
    "DualContrastive",
    "GradientPenalty",
    "Hinge",
    "NonSaturating",
    "PathLength",
    "RelativisticPairing",
    "Saturating",
    "Wasserstein",
]
