"""Auxiliary tasks: what both players minimise beside the adversarial loss."""

from dualgan.auxiliary.base import AuxiliaryTask, StepView
from dualgan.auxiliary.instance import InstanceDiscrimination

__all__ = ["AuxiliaryTask", "InstanceDiscrimination", "StepView"]
