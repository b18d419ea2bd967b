"""Automatic mixed precision: whether it is on, and how to compute without it."""

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast_enabled(device: str) -> bool:
    """Whether autocast is on for this type of device; the meta device has none."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def without_autocast(device: str) -> AbstractContextManager[object]:
    """Switch autocast off where it is on."""
    return torch.autocast(device, enabled=False) if autocast_enabled(device) else nullcontext()
