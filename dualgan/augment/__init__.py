"""Augmentations: what the discriminator sees in place of the images."""

from dualgan.augment.ada import ADA
from dualgan.augment.apa import APA
from dualgan.augment.base import Augmentation, NoAugmentation
from dualgan.augment.combined import Combined
from dualgan.augment.diffaugment import DiffAugment

__all__ = ["ADA", "APA", "Augmentation", "Combined", "DiffAugment", "NoAugmentation"]
