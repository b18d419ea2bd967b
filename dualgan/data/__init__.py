"""Where real images come from: Lightning data modules, the CLEVR renderer, folders and zips of images."""

# Imported on first use: the renderer's worker processes need NumPy and neither torch nor Lightning.

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualgan.data.base import Batch, ImageDataModule
    from dualgan.data.image_folder import ImageFolder
    from dualgan.data.synthetic_clevr import SyntheticCLEVR

__all__ = ["Batch", "ImageDataModule", "ImageFolder", "SyntheticCLEVR"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # All at once: the command line finds sets by their short names once their classes exist.
    for module in ("base", "image_folder", "synthetic_clevr"):
        names = vars(import_module(f"{__name__}.{module}"))
        globals().update({public: names[public] for public in __all__ if public in names})
    return globals()[name]
