"""Extractors whose graphs are torch-fidelity's: in batches of the same size, their features are too, bit by bit."""

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualgan.metrics.extractors.base import FeatureExtractor
from dualgan.metrics.weights import WEIGHTS, file_hash, locate, read_state, wrong_file
from dualgan.runtime.distributed import rank

logger = logging.getLogger(__name__)

_FAST_CPU_BATCH = 8  # activations of few images stay in the cache
_DINOV2_DIMS = {"dinov2_vit_s_14": 384, "dinov2_vit_b_14": 768, "dinov2_vit_l_14": 1024, "dinov2_vit_g_14": 1536}
_CLIP_DIMS = {"clip_vit_b_32": 512, "clip_vit_b_16": 512, "clip_vit_l_14": 768}


class FidelityExtractor(FeatureExtractor):
    """Base of the extractors with a torch-fidelity graph."""

    network: nn.Module

    def features(self, images: Tensor) -> Tensor:
        """Map uint8 images [N, 3, H, W] to float32 features [N, dim]."""
        # contiguous and whole: another memory layout or batch size changes the last bits
        return self._extract(images.contiguous())

    def _extract(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images)[0]
        return features


class InceptionV3(FidelityExtractor):
    """Pool features [N, 2048] of the 2015-12-05 Inception-v3 that defines FID; the graph is torch-fidelity's.

    Args:
        weights: file in torch-fidelity's format; None means its place in the cache of torch hub.
        download: fetch the file into the cache if it is not there. Without it the network is never touched.
        fast: work in a memory layout and, on the CPU, in batches that suit the machine better. Features then differ
            from torch-fidelity's in the last bits.

    Raises:
        ValueError: the file is missing or holds something else.
    """

    name = "inception_v3"
    dim = 2048
    num_classes = 1008

    def __init__(self, weights: str | Path | None = None, download: bool = False, fast: bool = False) -> None:
        """Load the network."""
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = locate(self.name, weights, download)
        self.weight_hash = file_hash(path)
        self.network = _built(FeatureExtractorInceptionV3, "inception-v3-compat", "2048", path)
        self.fast = fast
        if fast:
            self.network.to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()
        if not self.is_standard and rank() == 0:
            logger.warning(
                "Inception weights %r have hash %s, not %s...: numbers are called fd_inception_v3, not fid.",
                path.name, self.weight_hash, WEIGHTS[self.name].sha256,
            )  # fmt: skip

    def features(self, images: Tensor) -> Tensor:
        """Map uint8 images [N, 3, H, W] to float32 features [N, 2048]."""
        if not self.fast or images.device.type != "cpu":
            return super().features(images)
        return torch.cat([self._extract(part) for part in torch.split(images, _FAST_CPU_BATCH)])

    @property
    def is_standard(self) -> bool:
        """Whether the file is the published one."""
        return self.weight_hash.startswith(WEIGHTS[self.name].sha256)

    @property
    def identity(self) -> str:
        """Text that changes whenever the features may."""
        return super().identity + (" fast" if self.fast else "")

    def classify(self, features: Tensor) -> Tensor:
        """Map features [N, 2048] to logits [N, 1008] without the bias, which the inception score leaves out."""
        head: Any = self.network.fc
        logits: Tensor = features.to(head.weight.device) @ head.weight.T
        return logits


class VGG16(FidelityExtractor):
    """Last hidden features [N, 4096] of VGG16 after their ReLU; the graph is torch-fidelity's.

    Args:
        weights: torchvision's file; None means its place in the cache of torch hub.
        download: fetch the file into the cache if it is not there.

    Raises:
        ValueError: the file is missing or holds something else.
    """

    name = "vgg16"
    dim = 4096

    def __init__(self, weights: str | Path | None = None, download: bool = False) -> None:
        """Load the network."""
        super().__init__()
        from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

        path = locate(self.name, weights, download)
        self.weight_hash = file_hash(path)
        self.network = _built(FeatureExtractorVGG16, "vgg16", "fc2_relu", path)
        self.requires_grad_(False).eval()

    @property
    def is_standard(self) -> bool:
        """Whether the file is torchvision's."""
        return self.weight_hash.startswith(WEIGHTS[self.name].sha256)


class CLIP(FidelityExtractor):
    """Image embedding of a CLIP vision transformer, [N, 512] or [N, 768]; the graph is torch-fidelity's.

    Args:
        name: "clip_vit_b_32", "clip_vit_b_16" or "clip_vit_l_14".
        weights: OpenAI's TorchScript file, or a plain state dict with its names; None means its place in the cache.
        download: fetch the file into the cache if it is not there.

    Raises:
        ValueError: the file is missing or holds something else.
    """

    def __init__(self, name: str = "clip_vit_b_32", weights: str | Path | None = None, download: bool = False) -> None:
        """Load the network."""
        super().__init__()
        self.name, self.dim = name, _CLIP_DIMS[name]
        path = locate(name, weights, download)
        self.weight_hash = file_hash(path)
        self.network = _clip_network(path, name)
        self.resolution = int(self.network.visual.input_resolution)  # type: ignore[union-attr, arg-type]
        self.requires_grad_(False).eval()

    def _extract(self, images: Tensor) -> Tensor:
        mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
        features: Tensor = self.network.visual(_normalized(images, self.resolution, mean, std))  # type: ignore[operator]
        return features


class DINOv2(FidelityExtractor):
    """Class token of a DINOv2 vision transformer, [N, 384] to [N, 1536], computed as torch-fidelity does.

    The network's code is that of github.com/facebookresearch/dinov2, from torch hub's cache: with `download` it is
    fetched and run.

    Args:
        name: "dinov2_vit_s_14", "dinov2_vit_b_14", "dinov2_vit_l_14" or "dinov2_vit_g_14".
        weights: the published file; None means its place in the cache of torch hub.
        download: fetch the file and the code into the cache if they are not there.

    Raises:
        ValueError: the file or the code is missing, or holds something else.
    """

    def __init__(
        self, name: str = "dinov2_vit_l_14", weights: str | Path | None = None, download: bool = False
    ) -> None:
        """Load the network."""
        super().__init__()
        self.name, self.dim = name, _DINOV2_DIMS[name]
        path = locate(name, weights, download)
        self.weight_hash = file_hash(path)
        self.network = _dinov2_network(name, download)
        load_state(self.network, read_state(path), path)
        self.requires_grad_(False).eval()

    def _extract(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(_normalized(images, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return features


def load_state(network: nn.Module, state: Any, path: Path) -> None:
    """Fill a network.

    Raises:
        ValueError: the state is another network's.
    """
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise wrong_file(path, error) from error


def _built(make: Any, name: str, layer: str, path: Path) -> nn.Module:
    """Build one of torch-fidelity's networks, whose constructors unpickle anything their file holds."""
    safe = io.BytesIO()
    torch.save(read_state(path), safe)  # so they get a copy of what was read safely
    safe.seek(0)
    try:
        network: nn.Module = make(name, [layer], safe)
    except (RuntimeError, TypeError) as error:
        raise wrong_file(path, error) from error
    return network


def _clip_network(path: Path, name: str) -> nn.Module:
    from torch_fidelity.feature_extractor_clip import build_model

    try:
        network: nn.Module = build_model(_clip_state(path, name), torch.float32)
    except (KeyError, RuntimeError, AttributeError) as error:
        raise wrong_file(path, error) from error
    return network


def _clip_state(path: Path, name: str) -> dict[str, Tensor]:
    # TorchScript may run what it holds: only the published file is opened as such
    if file_hash(path, 64) != WEIGHTS[name].sha256:
        state: dict[str, Tensor] = read_state(path)
        return state
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return dict(torch.jit.load(path, map_location="cpu").state_dict())  # type: ignore[no-untyped-call]


def _dinov2_network(name: str, download: bool) -> nn.Module:
    folder = Path(torch.hub.get_dir()) / "facebookresearch_dinov2_main"
    model = name.replace("vit_", "vit").replace("_14", "14")
    if not (folder / "hubconf.py").is_file() and not download:
        raise ValueError(
            f"the code of DINOv2 is not in {str(folder)!r}: unpack github.com/facebookresearch/dinov2 there, or fetch "
            "and run it with download=True in Python."
        )
    load: Callable[..., nn.Module] = torch.hub.load
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="xFormers")
        if (folder / "hubconf.py").is_file():
            return load(str(folder), model, source="local", pretrained=False)
        return load("facebookresearch/dinov2:main", model, trust_repo=True, pretrained=False)


def _normalized(images: Tensor, size: int, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
    from torchvision.transforms.functional import normalize

    resized = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(size, size), align_corners=False)
    normalized: Tensor = normalize(resized, [255 * x for x in mean], [255 * x for x in std])
    return normalized
