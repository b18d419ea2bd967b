"""Augmentations: what the discriminator sees in place of the images."""

from dualgan.augment.base import Augmentation, NoAugmentation

__all__ = ["Augmentation", "NoAugmentation"]
