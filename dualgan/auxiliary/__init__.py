"""Auxiliary tasks: what both players minimise beside the adversarial loss."""

from dualgan.auxiliary.base import AuxiliaryTask, StepView
from dualgan.auxiliary.cutmix import CutMix
from dualgan.auxiliary.instance import InstanceDiscrimination
from dualgan.auxiliary.orthogonal import OrthogonalRegularization

__all__ = ["AuxiliaryTask", "CutMix", "InstanceDiscrimination", "OrthogonalRegularization", "StepView"]
