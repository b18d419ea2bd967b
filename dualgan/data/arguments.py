"""Checks of arguments that data sets and commands share; imports neither torch nor Lightning."""

import os
from typing import get_args

USUAL_RESOLUTIONS = tuple(2**power for power in range(3, 11))


def check_resolution(resolution: int) -> None:
    """Raise a ValueError when no network has this resolution; which one of these it takes is the network's affair."""
    least, most = USUAL_RESOLUTIONS[0], USUAL_RESOLUTIONS[-1]
    if not least <= resolution <= most:
        raise ValueError(
            f"resolution {resolution} is out of range: expected {least} to {most}. "
            f"Images are cropped and resized to it."
        )


def check_least(name: str, value: int, least: int) -> None:
    """Raise a ValueError that names the argument when `value` is below `least`."""
    if value < least:
        raise ValueError(f"{name} {value} is too small: expected {least} or more.")


def check_choice(name: str, value: str, choices: object) -> None:
    """Raise a ValueError that lists the choices, those of a Literal, when `value` is none of them."""
    known = get_args(choices)
    if value not in known:
        listed = ", ".join(f"'{choice}'" for choice in known[:-1])
        raise ValueError(f"{name} '{value}' is unknown: expected {listed} or '{known[-1]}'.")


def usable_cpus() -> int:
    """Number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
