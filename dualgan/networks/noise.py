"""Noise that a layer adds to its output, of a learned strength."""

import torch
from torch import Tensor, nn

from dualgan.networks.base import NoiseMode
from dualgan.networks.layers import Clamped, leaky_relu

NOISE_MODES = ("random", "const", "none")


def check_noise_mode(mode: NoiseMode) -> None:
    """Refuse what is no way to make noise.

    Raises:
        ValueError: Unknown noise mode.
    """
    if mode not in NOISE_MODES:
        raise ValueError(f"unknown noise_mode {mode!r}: expected one of {', '.join(NOISE_MODES)}")


class Noise(Clamped):
    """What a layer of the synthesis network does last: noise (None without) and leaky ReLU. A base class."""

    noise_const: Tensor | None
    noise_strength: nn.Parameter | None
    gain: float

    def add_noise_parameters(self, resolution: int, channels: int | None = None) -> None:
        """Create the noise's strength, one for all channels or one of each, and the constant noise."""
        self.noise_strength = nn.Parameter(torch.zeros([] if channels is None else [channels, 1, 1]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def remove_noise_parameters(self) -> None:
        """Do without noise from now on."""
        self.noise_strength = self.noise_const = None

    def sample(self, x: Tensor, mode: NoiseMode) -> Tensor:
        """Noise of variance 1 [N or 1, 1, H, W] for the feature map `x`."""
        assert self.noise_const is not None
        if mode == "random":
            return torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device)
        return self.noise_const.view(-1, 1, *x.shape[2:])  # one map for all samples, or one for each

    def noise(self, x: Tensor, mode: NoiseMode) -> Tensor:
        """Noise [N or 1, 1 or C, H, W] for the feature map `x`, with its learned strength and the gain."""
        assert self.noise_strength is not None
        return (self.sample(x, mode) * (self.noise_strength * self.gain)).to(x.dtype)

    def finish(self, y: Tensor, noise_mode: NoiseMode) -> Tensor:
        """Add noise to `y` and activate it, both in place."""
        if noise_mode != "none" and self.noise_strength is not None:
            y = y.add_(self.noise(y, noise_mode))
        return self.bounded(leaky_relu(y))


def remove_noise(network: nn.Module) -> None:
    """Let all layers do without noise from now on."""
    for layer in network.modules():
        if isinstance(layer, Noise):
            layer.remove_noise_parameters()
