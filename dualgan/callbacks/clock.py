"""The clock of all callbacks: thousands of real images shown; and the time that is none of the training's."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytorch_lightning import Trainer

from dualgan.data.batches import Batch
from dualgan.gan import GAN
from dualgan.runtime.distributed import world_size


def crossed(gan: GAN, batch: Batch, every_kimg: float) -> bool:
    """Whether this minibatch took the clock past a multiple of `every_kimg`."""
    interval = every_kimg * 1000
    before = gan.clock - len(batch.images) * world_size()
    return gan.clock // interval > before // interval


class TimesTraining:
    """A callback that measures the time of training.

    Attributes:
        seconds_aside: Time since the start that was no training.
    """

    seconds_aside = 0.0


@contextmanager
def aside(trainer: Trainer) -> Iterator[None]:
    """Do what is no training, such as an evaluation, a picture or a checkpoint: images/s do not count its time."""
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize()  # the steps before it are training
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds = max(0.0, time.perf_counter() - start)  # clocks of virtual machines have gone backwards
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TimesTraining):
                callback.seconds_aside += seconds


def check_interval(every_kimg: float, owner: str) -> float:
    """Refuse an interval that is not positive.

    Raises:
        ValueError: It is zero or negative.
    """
    if every_kimg <= 0:
        raise ValueError(
            f"{owner}.every_kimg {every_kimg:g} is not positive: give thousands of images, for instance 10"
        )
    return every_kimg
