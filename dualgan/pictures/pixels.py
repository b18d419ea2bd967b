"""Pixels: floats in [-1, 1] inside of the program, bytes at its edges."""

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 images [N, H, W, C] to float32 [N, C, H, W] in [-1, 1], laid out channels_last."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Convert float images [N, C, H, W] in [-1, 1] to uint8 [N, H, W, C]; values outside are clamped.

    The rounding is the field's: x * 127.5 + 128, truncated.
    """
    return (images.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
