"""One seed per (run, rank, clock, purpose): what makes a resumed run repeat the uninterrupted one bit by bit."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

SEEDS = 2**63
"""Seeds of images are below this number: the largest integers of torch and NumPy."""


def mix_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part and on their order."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave the generators of Python, NumPy and torch on the CPU as they were before, whatever is drawn inside."""
    python, numpy, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torchs)


def reseed(*parts: int | str) -> None:
    """Seed the generators of Python, NumPy and torch (all devices) from `parts`."""
    seed = mix_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    # `torch.manual_seed` would queue this call at every step, with a stack trace, until CUDA is first used.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
