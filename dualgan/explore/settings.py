"""What a user of the page has chosen, checked: a picture is a pure function of it, but for random noise."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dualgan.networks.base import NoiseMode
from dualgan.networks.noise import check_noise_mode
from dualgan.runtime.seeding import SEEDS

Space = Literal["z", "w"]
MOST_KEYFRAMES = 32
MOST_TRUNCATION, MOST_STRENGTH = 2.0, 5.0


@dataclass(frozen=True)
class Settings:
    """Where in latent space to look.

    Attributes:
        seed: Of the picture; without effect on a walk.
        label: Name of the class; None lets the seed draw it.
        truncation_psi: 1 for none.
        cutoff: Layers that truncation reaches, the first ones; None for all.
        noise_mode: "const", "random" or "none".
        other_seed: Whose style the layers `mixed` take.
        mixed: Layers from 0, the coarsest, on.
        keyframes: Seeds that a walk leads through; none for no walk.
        position: Part of the whole walk that is behind, from 0 to 1.
        space: "z" walks great circles, "w" straight lines.
        strengths: How far to go along each direction, in deviations of w.
        reference: Number of the real image that a discriminator with reference attention looks at.
    """

    seed: int = 0
    label: str | None = None
    truncation_psi: float = 1.0
    cutoff: int | None = None
    noise_mode: NoiseMode = "const"
    other_seed: int = 1
    mixed: tuple[int, ...] = ()
    keyframes: tuple[int, ...] = ()
    position: float = 0.0
    space: Space = "z"
    strengths: tuple[float, ...] = ()
    reference: int = 0

    def __post_init__(self) -> None:
        for name in ("seed", "other_seed"):
            whole_number(name, getattr(self, name))
        whole_number("reference", self.reference)
        number("truncation_psi", self.truncation_psi, -MOST_TRUNCATION, MOST_TRUNCATION)
        number("position", self.position, 0, 1)
        for strength in self.strengths:
            number("direction", strength, -MOST_STRENGTH, MOST_STRENGTH)
        for layer in (*self.mixed, *([] if self.cutoff is None else [self.cutoff])):
            whole_number("layer", layer)
        check_noise_mode(self.noise_mode)
        if self.space not in get_args(Space):
            raise ValueError(f"space {self.space!r} is unknown: expected z or w")
        if self.keyframes:
            check_walk(len(self.keyframes))
        for seed in self.keyframes:
            whole_number("keyframe", seed)


def check_walk(keyframes: int) -> None:
    """Refuse a number of keyframes that no walk leads through.

    Raises:
        ValueError: It is one, or too many.
    """
    if not 2 <= keyframes <= MOST_KEYFRAMES:
        raise ValueError(
            f"{keyframes} keyframe{'' if keyframes == 1 else 's'}: a walk leads through 2 to {MOST_KEYFRAMES} seeds, "
            f"such as 0,5,9"
        )


def whole_number(name: str, value: Any) -> int:
    """A number that counts something, or a seed, as forms give it: as int, as float, or missing.

    Raises:
        ValueError: It is missing, not whole, negative or 2^63 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value != int(value):
        raise ValueError(f"{_words(name)} {_shown(value)}: expected a whole number from 0 on")
    if not 0 <= value < SEEDS:
        raise ValueError(f"{_words(name)} {int(value)} is out of range: expected 0 to 2^63 - 1")
    return int(value)


def number(name: str, value: Any, least: float, most: float) -> float:
    """A number within bounds, as forms give it.

    Raises:
        ValueError: It is missing, not finite or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{_words(name)} {_shown(value)}: expected a number from {least:g} to {most:g}")
    if not least <= value <= most:
        raise ValueError(f"{_words(name)} {value:g} is out of range: expected {least:g} to {most:g}")
    return float(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    return "is missing" if value is None else f"{value!r}"[:60]
