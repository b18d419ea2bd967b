"""The embedded extractor: EfficientNet-Lite0, whose weights come with the installation."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dualgan.metrics.extractors.base import FeatureExtractor
from dualgan.metrics.extractors.fidelity import load_state
from dualgan.metrics.weights import file_hash, locate, read_state


class EfficientNetLite0(FeatureExtractor):
    """Pooled last features [N, 1280] of EfficientNet-Lite0, whose ImageNet weights come with the installation.

    Images are resized to `size` x `size` (bilinear with antialiasing). Batch norms are folded into the convolutions
    and the CPU works on few images at a time: together 3 to 5 times faster than the network as it comes.

    Args:
        weights: file with the state dict; None takes the installed package's.
        size: side in pixels at which the network sees images. The weights were trained at 224; the default is a
            quarter of the work, and part of the metric's definition.

    Raises:
        ValueError: the file is missing or holds something else.
    """

    name = "efficientnet_lite0"
    dim = 1280
    num_classes = 1000
    network: Any  # the package is untyped
    _cpu_batch = 16  # activations of 16 images stay in the cache

    def __init__(self, weights: str | Path | None = None, size: int = 112) -> None:
        """Load the network."""
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        path = locate(self.name, weights)
        self.size = size
        self.weight_hash = file_hash(path)
        network = EfficientNet.from_name("efficientnet-lite0", image_size=size)
        load_state(network, read_state(path), path)
        self.network = _fold_batch_norms(network.eval()).to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    def features(self, images: Tensor) -> Tensor:
        """Map images [N, 3, H, W], uint8 or float from 0 to 255, to float32 features [N, 1280]."""
        step = self._cpu_batch if images.device.type == "cpu" else max(1, len(images))
        chunks = [self.network.extract_features(self._inputs(part)).mean((2, 3)) for part in torch.split(images, step)]
        return torch.cat(chunks)

    def classify(self, features: Tensor) -> Tensor:
        """Map features [N, 1280] to ImageNet logits [N, 1000]."""
        logits: Tensor = self.network._fc(features.to(self.network._fc.weight.device))
        return logits

    @property
    def identity(self) -> str:
        """Text that changes whenever the features may."""
        return f"{super().identity} {self.size}"

    def _inputs(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        # the TensorFlow original's normalisation; the first batch norm's statistics fit it better than ImageNet's usual
        return (pixels - 127) / 128


# in the package's blocks: a convolution and the batch norm that follows it
_FOLDS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def _fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold every batch norm of EfficientNet into its convolution, in place; the network must be in eval mode."""
    _fold(network, "_conv_stem", "_bn0")
    _fold(network, "_conv_head", "_bn1")
    for block in network._blocks:  # type: ignore[union-attr]
        for convolution, norm in _FOLDS:
            if hasattr(block, convolution):  # the first block does not expand
                _fold(block, convolution, norm)
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
    return network


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    fused: Any = fuse_conv_bn_eval(getattr(parent, convolution), getattr(parent, norm))
    left, right, top, bottom = getattr(fused.static_padding, "padding", (0, 0, 0, 0))
    if (left, top) == (right, bottom):  # the convolution pads for itself: no copy of its input
        fused.padding, fused.static_padding = (top, left), nn.Identity()
    setattr(parent, convolution, fused)
    setattr(parent, norm, nn.Identity())
