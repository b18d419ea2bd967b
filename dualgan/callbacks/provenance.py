"""What a training ran with, kept in its checkpoints: who resumes one is told what has changed."""

import warnings
from typing import Any

import torch
from pytorch_lightning import Trainer

from dualgan.gan import GAN
from dualgan.terminal.console import is_rank_zero
from dualgan.version import __version__

# What the bits of a result depend on, besides the settings of the model and the order of operations in libraries.
CONDITIONS = {
    "dualgan_version": "dualgan",
    "torch_version": "torch",
    "seed": "the seed",
    "batch_size": "batch_size",
    "world_size": "the number of devices",
    "device": "the kind of device",
    "precision": "the precision",
    "threads": "the number of threads",
    "dataset_size": "the number of images",
    "dataset": "the data's fingerprint",
    "labels": "the fingerprint of the data's labels",
}


def conditions(trainer: Trainer, gan: GAN) -> dict[str, Any]:
    """What the result depends on, as plain data; what is not known is None."""
    data = getattr(trainer, "datamodule", None)
    return {
        "dualgan_version": __version__,
        "torch_version": str(torch.__version__),
        "seed": gan.seed,
        "batch_size": getattr(data, "batch_size", None),
        "world_size": trainer.world_size,
        "device": trainer.strategy.root_device.type,
        "precision": str(trainer.precision),
        "threads": torch.get_num_threads(),
        "dataset_size": getattr(data, "dataset_size", None),
        "dataset": getattr(data, "fingerprint", None),
        "labels": getattr(data, "label_fingerprint", None),
    }


def warn_if_changed(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Say what a resumed run does not share with the one that saved the checkpoint; unknown things are left out.

    Args:
        before: The checkpoint's conditions, maybe of another version of dualgan.
        now: Those of this run.
    """
    changed = [
        f"{label} was {before[name]} and is {now[name]}"
        for name, label in CONDITIONS.items()
        if None not in (before.get(name), now[name]) and before[name] != now[name]
    ]
    if changed and is_rank_zero():
        warnings.warn(
            f"resuming under other conditions: {'; '.join(changed)}. The result will differ from that of an "
            f"uninterrupted run",
            stacklevel=2,
        )
