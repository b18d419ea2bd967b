"""The clock of all callbacks: thousands of real images shown."""

from dualgan.data.batches import Batch
from dualgan.gan import GAN
from dualgan.runtime.distributed import world_size


def crossed(gan: GAN, batch: Batch, every_kimg: float) -> bool:
    """Whether this minibatch took the clock past a multiple of `every_kimg`."""
    interval = every_kimg * 1000
    before = gan.clock - len(batch.images) * world_size()
    return gan.clock // interval > before // interval


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
