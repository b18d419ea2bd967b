"""Perceptual distances between images, for path lengths and nearest neighbours."""

import logging
from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from dualgan.metrics.extractors import EfficientNetLite0
from dualgan.metrics.extractors.fidelity import load_state
from dualgan.metrics.table import reported_name
from dualgan.metrics.weights import WEIGHTS, file_hash, locate, read_state
from dualgan.runtime.distributed import rank

logger = logging.getLogger(__name__)

_TAPS = (3, 8, 15, 22, 29)  # the last ReLU of each of VGG16's five resolutions, in torchvision's order of layers


class PerceptualDistance(nn.Module):
    """Frozen network from pairs of images to squared distances.

    Attributes:
        name: of the network, "lpips_vgg16" or "efficientnet_lite0".
        weight_hash: first 16 hex digits of the sha256 of its weight file or files.
    """

    name: str
    weight_hash: str

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared distances [N], 0 or more, of float images [N, 3, H, W] and [N, 3, H, W] in [-1, 1]."""

    def metric_name(self, kind: str) -> str:
        """Name of a path length with this distance, such as "ppl_wend" with LPIPS and its published weights."""
        return reported_name(kind, self)

    @property
    def is_standard(self) -> bool:
        """Whether published path lengths are made with exactly this network and these weights."""
        return False

    def train(self, mode: bool = True) -> "PerceptualDistance":
        """Stay in eval mode."""
        return super().train(False)


class LPIPS(PerceptualDistance):
    """LPIPS, version 0.1, on VGG16: the distance of StyleGAN's path lengths.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, Eq. 1.

    Args:
        weights: torchvision's file of VGG16; None means its place in the cache of torch hub. The weights on top of it
            come with torchmetrics.
        download: fetch the file into the cache if it is not there.

    Raises:
        ValueError: the file is missing or holds something else.
    """

    name = "lpips_vgg16"
    shift: Tensor
    scale: Tensor

    def __init__(self, weights: str | Path | None = None, download: bool = False) -> None:
        """Load the networks."""
        super().__init__()
        from torchvision.models import vgg16

        path, top = locate("vgg16", weights, download), locate("lpips_vgg16")
        self.weight_hash = file_hash(path, 8) + file_hash(top, 8)
        if not self.is_standard and rank() == 0:
            logger.warning(
                "VGG16 weights %r have hash %s, not %s: distances are not the published LPIPS, and names of metrics "
                "end in _lpips_vgg16.",
                path.name, self.weight_hash[:8], WEIGHTS["vgg16"].sha256,
            )  # fmt: skip
        with torch.device("meta"):  # 123 million weights of the classifier are never needed
            self.layers = vgg16().features[: _TAPS[-1] + 1]
        self.layers.to_empty(device="cpu")
        state = read_state(path)
        kept = {f"{name.removeprefix('features.')}": x for name, x in state.items() if name.startswith("features.")}
        load_state(self.layers, kept, path)
        self.weights = nn.ParameterList(x.flatten()[:, None, None] for x in read_state(top).values())
        # LPIPS shifts and scales images in [-1, 1] to ImageNet's mean and deviation
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])
        self.requires_grad_(False).eval()

    @property
    def is_standard(self) -> bool:
        """Whether both files are the published ones."""
        return self.weight_hash == WEIGHTS["vgg16"].sha256[:8] + WEIGHTS["lpips_vgg16"].sha256[:8]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared distances [N] of float images [N, 3, H, W] and [N, 3, H, W] in [-1, 1]."""
        x = (torch.cat([first, second]) - self.shift) / self.scale
        total = x.new_zeros(len(first))
        weights = iter(self.weights)
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in _TAPS:
                a, b = (x / (x.norm(dim=1, keepdim=True) + 1e-10)).chunk(2)
                # Eq. 1: sum_l 1/(H_l W_l) sum_hw |w_l * (a_hw - b_hw)|^2, with w_l^2 as weights
                total += ((a - b).square() * next(weights)).sum(dim=1).mean(dim=(1, 2))
        return total


class FeatureDistance(PerceptualDistance):
    """Squared distance of EfficientNet-Lite0's features: what measures where LPIPS's weights are missing."""

    name = EfficientNetLite0.name

    def __init__(self) -> None:
        """Load the network that comes with the installation."""
        super().__init__()
        self.extractor = EfficientNetLite0()
        self.weight_hash = self.extractor.weight_hash

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared distances [N] of float images [N, 3, H, W] and [N, 3, H, W] in [-1, 1]."""
        a, b = self.extractor.features((torch.cat([first, second]) + 1) * 127.5).chunk(2)
        return (a - b).square().sum(dim=1)


def find_distance(weights: str | None = None, download: bool = False) -> PerceptualDistance:
    """Load LPIPS if VGG16's weights are there, and else, with a warning on rank zero, the embedded network's distance.

    Args:
        weights: VGG16's weight file.
        download: fetch VGG16's weights if they are not in the cache.

    Raises:
        ValueError: a weight file that is missing or holds something else.
    """
    vgg16 = WEIGHTS["vgg16"]
    if weights is not None or download or vgg16.path.is_file():
        return LPIPS(weights, download)
    if rank() == 0:
        logger.warning(
            "VGG16 weights were not found: EfficientNet-Lite0 measures distances instead of LPIPS. They compare "
            "only with each other, and names of metrics end in _efficientnet_lite0. %s",
            vgg16.how_to_get,
        )
    return FeatureDistance()
