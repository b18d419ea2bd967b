"""The members of the family of instance discrimination, and what tells them apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dualgan.auxiliary.contrast import forgetting_factor
from dualgan.auxiliary.perturbation import SCALES, Perturbation

Forgetting = Literal["none", "constant", "queue"]
Enqueued = Literal["keys", "queries"]
Preset = Literal["instance_real", "instance_fake", "instance_perturbation", "insgen", "fakeclr"]


@dataclass(frozen=True)
class Method:
    """What tells the members of the family apart; the arguments of `InstanceDiscrimination` explain each.

    Raises:
        ValueError: A number is out of range, or a setting has no effect.
    """

    real: float = 0.0
    fake: float = 0.0
    generator: float = 0.0
    perturbation: Perturbation = "none"
    perturbation_scale: float | None = None
    forgetting: Forgetting = "none"
    forgetting_temperature: float | None = None
    enqueued: Enqueued = "keys"

    def __post_init__(self) -> None:
        for name in ("real", "fake", "generator", "perturbation_scale"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"instance discrimination: {name} {value:g} is negative: expected a number from 0 on")
        for name, kinds in {"perturbation": Perturbation, "forgetting": Forgetting, "enqueued": Enqueued}.items():
            if getattr(self, name) not in get_args(kinds):
                raise ValueError(
                    f"instance discrimination: unknown {name} {getattr(self, name)!r}: expected one of "
                    f"{', '.join(get_args(kinds))}"
                )
        if not self.real and not self.fake:
            raise ValueError(
                f"instance discrimination has nothing to tell apart: give a preset ({', '.join(PRESETS)}), or weights "
                f"of real and fake images"
            )
        if self.forgetting_temperature is not None and not self.forgetting_temperature > 0:
            raise ValueError(
                f"instance discrimination: forgetting_temperature {self.forgetting_temperature:g} is out of range: "
                f"expected above 0, such as 0.01"
            )
        self._check_effect()

    def _check_effect(self) -> None:
        idle = {
            "generator": self.generator and not self.fake and "fake 0: its head is trained in D's step",
            "perturbation": self.perturbation != "none" and not self.fake and "fake 0",
            "forgetting": self.forgetting != "none" and not self.fake and "fake 0",
            "enqueued": self.enqueued != "keys" and not self.fake and "fake 0",
            "perturbation_scale": self.perturbation_scale is not None and self.perturbation == "none"
            and "perturbation none",
            "forgetting_temperature": self.forgetting_temperature is not None and self.forgetting != "queue"
            and f"forgetting {self.forgetting}",
        }  # fmt: skip
        for name, reason in idle.items():
            if reason:
                raise ValueError(f"instance discrimination: {name} {getattr(self, name)} has no effect with {reason}")

    @property
    def scale(self) -> float:
        """Strength of the perturbation."""
        return SCALES[self.perturbation] if self.perturbation_scale is None else self.perturbation_scale

    def weights(self, made_at: Tensor) -> Tensor | None:
        """Weights m [K] of negatives that were made when so many images were seen; None is 0."""
        if self.forgetting == "none":
            return None
        if self.forgetting == "constant":
            return torch.ones_like(made_at, dtype=torch.float32)
        return forgetting_factor(made_at, self.forgetting_temperature or 0.01)


# Supplement of FakeCLR, section 1.6 and Tables 1 and 5; InsGen: its section 3.
PRESETS: Mapping[Preset, Mapping[str, Any]] = {
    "instance_real": {"real": 1.0},
    "instance_fake": {"fake": 1.0, "generator": 0.1},
    "instance_perturbation": {"fake": 1.0, "generator": 0.1, "perturbation": "isotropic"},
    "insgen": {"real": 1.0, "fake": 1.0, "generator": 0.1, "perturbation": "isotropic", "enqueued": "queries"},
    "fakeclr": {"fake": 1.0, "generator": 0.1, "perturbation": "noise_related", "forgetting": "queue"},
}


def method_of(preset: Preset | None, given: Mapping[str, Any]) -> Method:
    """A preset with what is given in its place.

    Raises:
        ValueError: The preset is unknown, or what comes of it makes no sense.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"instance discrimination: unknown preset {preset!r}: expected one of {', '.join(PRESETS)}")
    return Method(**{**(PRESETS[preset] if preset else {}), **given})
