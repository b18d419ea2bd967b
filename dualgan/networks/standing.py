"""Standing statistics: what batch normalisation knows of the features, estimated anew from the weights as they are.

Running statistics are those of a trained generator over its last steps. An averaged one has other weights, and so other
features (Brock et al., ICLR 2019, section 3).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from dualgan.networks.base import Generator
from dualgan.networks.sampling import drawn_classes, evaluating, latents
from dualgan.runtime.precision import without_autocast

BATCH = 64


@torch.no_grad()
def estimate_batch_statistics(generator: Generator, passes: int) -> None:
    """Give all batch normalisation the mean statistics of some batches of 64 images, in place.

    The latents and classes are those of the seeds 0, 1, 2, ...: the result follows from the weights, and torch's
    generators are left alone. All other layers are in eval mode: vectors of spectral normalisation stay as they are.

    Args:
        generator: Whose.
        passes: How many batches; 0 leaves everything as it is.
    """
    norms = [module for module in generator.modules() if isinstance(module, _BatchNorm)]
    if not passes or not norms:
        return
    like = next(generator.parameters())
    with evaluating(generator), _cumulative(norms), without_autocast(like.device.type):
        for k in range(passes):
            seeds = range(k * BATCH, (k + 1) * BATCH)
            labels = drawn_classes(generator, seeds)
            z = latents(seeds, generator.z_dim).to(like)
            generator(z, None if labels is None else labels.to(like.device))


@contextmanager
def _cumulative(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Training mode inside of the block, with the mean of all statistics since its beginning."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
