"""GANs with dual contrastive loss, attention and reference attention, as a PyTorch Lightning application."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dualgan.version import __version__

if TYPE_CHECKING:
    from dualgan.gan import GAN
    from dualgan.weights.checkpoints import load_discriminator, load_generator

__all__ = ["GAN", "__version__", "load_discriminator", "load_generator"]

_CHECKPOINTS = "dualgan.weights.checkpoints"
_LAZY = {"GAN": "dualgan.gan", "load_discriminator": _CHECKPOINTS, "load_generator": _CHECKPOINTS}


def __getattr__(name: str) -> Any:
    # Lightning takes seconds to import; whoever only needs a network or a loss should not wait for it.
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'dualgan' has no attribute {name!r}")
