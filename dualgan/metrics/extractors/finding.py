"""Load the feature extractor of a name, or the best that is here."""

import logging
from typing import Literal, get_args

from dualgan.metrics.extractors.base import FeatureExtractor
from dualgan.metrics.extractors.efficientnet import EfficientNetLite0
from dualgan.metrics.extractors.fidelity import CLIP, VGG16, DINOv2, InceptionV3
from dualgan.metrics.weights import WEIGHTS
from dualgan.runtime.distributed import rank

logger = logging.getLogger(__name__)

ExtractorName = Literal[
    "auto", "inception_v3", "efficientnet_lite0", "vgg16", "clip_vit_b_32", "clip_vit_b_16", "clip_vit_l_14",
    "dinov2_vit_s_14", "dinov2_vit_b_14", "dinov2_vit_l_14", "dinov2_vit_g_14",
]  # fmt: skip
EXTRACTORS: tuple[str, ...] = get_args(ExtractorName)[1:]


def find_extractor(
    name: ExtractorName = "auto", weights: str | None = None, download: bool = False, fast: bool = False
) -> FeatureExtractor:
    """Load a feature extractor; "auto" takes Inception-v3 if its weights are there and else EfficientNet-Lite0.

    The fallback says so in one warning on rank zero. The network is touched only with `download`.

    Args:
        name: "auto" or one of `EXTRACTORS`.
        weights: weight file of the network; with "auto" it is Inception's.
        download: fetch the weights of the network (with "auto" Inception's) if they are not in the cache.
        fast: with "auto" or "inception_v3": features that differ from torch-fidelity's in the last bits, sooner.

    Raises:
        ValueError: an unknown name, a weight file that is missing or holds something else, or `fast` for a network
            that knows one way only.
    """
    if name not in get_args(ExtractorName):
        raise ValueError(f"feature extractor {name!r} does not exist: choose auto, {', '.join(EXTRACTORS)}.")
    if fast and name not in ("auto", "inception_v3"):
        raise ValueError(f"fast has no effect on {name}: leave it out. Only inception_v3 has a faster, inexact way.")
    if name == "efficientnet_lite0":
        return EfficientNetLite0(weights)
    if name == "vgg16":
        return VGG16(weights, download)
    if name.startswith("clip"):
        return CLIP(name, weights, download)
    if name.startswith("dinov2"):
        return DINOv2(name, weights, download)
    if name == "inception_v3" or weights is not None or download or WEIGHTS["inception_v3"].path.is_file():
        return InceptionV3(weights, download, fast)
    if rank() == 0:
        logger.warning(
            "Inception-v3's weights are not here: EfficientNet-Lite0 measures, as fd_efficientnet_lite0, not as FID. "
            "For FID: dualgan weights --download inception_v3"
        )
    return EfficientNetLite0()
