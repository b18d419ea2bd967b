"""What every feature extractor answers."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from dualgan.metrics.table import Counts, reported_name, spec_of


class FeatureExtractor(nn.Module):
    """A frozen network from images to features.

    Attributes:
        name: of the network, such as "inception_v3" or "efficientnet_lite0".
        dim: number of features d.
        weight_hash: first 16 hex digits of the weight file's sha256.
        num_classes: number C of classes that `logits` tells apart, 0 for a network without.
    """

    name: str
    dim: int
    weight_hash: str
    num_classes: ClassVar[int] = 0

    def metric_name(self, kind: str, protocol: Counts = "") -> str:
        """Name under which a number of these features is reported; see `dualgan.metrics.table.reported_name`.

        Raises:
            ValueError: another kind, or the inception score of a network without classes.
        """
        if spec_of(kind).source == "logits":
            self.check_classes()
        return reported_name(kind, self, protocol)

    @property
    def is_standard(self) -> bool:
        """Whether its weights are the published ones."""
        return False

    @property
    def identity(self) -> str:
        """Text that changes whenever the features may: for caches, and beside stored numbers."""
        return f"{self.name} {self.weight_hash}"

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Extract float32 features [N, dim] from uint8 images [N, H, W, C], C 1 (gray) or 3 (RGB), any size.

        Raises:
            ValueError: another dtype or shape.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ValueError(
                f"images have dtype {images.dtype} and shape {tuple(images.shape)}: expected uint8 [N, H, W, C] with "
                "1 or 3 channels. Convert generated images with dualgan.pictures.pixels.to_uint8."
            )
        return self.features(images.expand(-1, -1, -1, 3).permute(0, 3, 1, 2))

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Map uint8 images [N, 3, H, W] to float32 features [N, dim]."""

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """Classify by features [N, dim]: logits [N, num_classes] for the inception score.

        Raises:
            ValueError: the network has no classes.
        """
        self.check_classes()
        return self.classify(features)

    def classify(self, features: Tensor) -> Tensor:
        """Map features [N, dim] to logits [N, num_classes]; only networks with classes can."""
        raise NotImplementedError

    def check_classes(self) -> None:
        """Raise a ValueError that names other networks when this one has no classes."""
        if self.num_classes == 0:
            raise ValueError(
                f"{self.name} has no classes, and so no inception score: choose inception_v3 or efficientnet_lite0."
            )

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in eval mode, so that a parent module's train() cannot change a metric."""
        return super().train(False)
