"""Where real images come from: Lightning data modules of published sets, folders and zips, and the CLEVR renderer."""

# Imported on first use: the renderer's worker processes need NumPy and neither torch nor Lightning.

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualgan.data.base import ImageDataModule
    from dualgan.data.batches import Batch
    from dualgan.data.sets.cifar10 import CIFAR10
    from dualgan.data.sets.few_shot import FewShot
    from dualgan.data.sets.file_images import FileImages
    from dualgan.data.sets.image_sets import CLEVR, FFHQ, AnimalFace, CelebA, ImageFolder
    from dualgan.data.sets.lsun import LSUN
    from dualgan.data.sets.official_layout import SourceCard
    from dualgan.data.sets.synthetic_clevr import SyntheticCLEVR

__all__ = [
    "CIFAR10",
    "CLEVR",
    "FFHQ",
    "LSUN",
    "AnimalFace",
    "Batch",
    "CelebA",
    "FewShot",
    "FileImages",
    "ImageDataModule",
    "ImageFolder",
    "SourceCard",
    "SyntheticCLEVR",
]

_MODULES = (
    "batches", "base", "sets.official_layout", "sets.file_images", "sets.image_sets", "sets.lsun", "sets.cifar10",
    "sets.few_shot", "sets.synthetic_clevr",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # All at once: the command line finds sets by their short names once their classes exist.
    for module in _MODULES:
        names = vars(import_module(f"{__name__}.{module}"))
        globals().update({public: names[public] for public in __all__ if public in names})
    return globals()[name]
