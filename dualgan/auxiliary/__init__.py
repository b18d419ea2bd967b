"""Auxiliary tasks: what both players minimise beside the adversarial loss."""

from dualgan.auxiliary.base import AuxiliaryTask, StepView

__all__ = ["AuxiliaryTask", "StepView"]
