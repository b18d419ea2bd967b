"""Sizes of the networks that the benchmarks of the training step share, and how often each of its phases runs."""

from typing import NamedTuple


class Setting(NamedTuple):
    """Sizes of one comparison."""

    channel_base: int
    channel_max: int
    w_dim: int  # z_dim is the same
    mapping_layers: int
    batch: int


SETTINGS = {
    # To see that a benchmark runs: at this size it measures the interpreter.
    "toy": {
        32: Setting(128, 8, 16, 2, 4),
        64: Setting(128, 8, 16, 2, 4),
        128: Setting(128, 8, 16, 2, 4),
        256: Setting(128, 8, 16, 2, 4),
    },
    "narrow": {
        32: Setting(1024, 96, 128, 4, 16),
        64: Setting(4096, 128, 128, 4, 8),
        128: Setting(4096, 128, 128, 4, 4),
    },
    # Config E.
    "wide": {
        32: Setting(16384, 512, 512, 8, 4),
        64: Setting(16384, 512, 512, 8, 4),
        128: Setting(16384, 512, 512, 8, 4),
        256: Setting(16384, 512, 512, 8, 4),
    },
}

# How often each phase runs per training step.
SHARES = {"G": 1.0, "G path length": 1 / 4, "D": 1.0, "D R1": 1 / 16}
