"""Resolutions and widths of networks that double from 4x4 to the image."""

import math


def block_resolutions(resolution: int) -> list[int]:
    """[4, 8, ..., resolution]."""
    return [2**k for k in range(2, int(math.log2(resolution)) + 1)]


def num_features(resolution: int, channel_base: int, channel_max: int) -> int:
    """Channels of the block at `resolution`: min(channel_base / resolution, channel_max).

    Raises:
        ValueError: None would be left.
    """
    if channel_base < resolution or channel_max < 1:
        raise ValueError(
            f"channel_base {channel_base} and channel_max {channel_max} leave no channels at resolution {resolution}: "
            f"a layer has min(channel_base / resolution, channel_max) of them; the published networks have thousands "
            f"and hundreds"
        )
    return min(channel_base // resolution, channel_max)
