"""Settings of a process: denormal numbers, freed memory, pages shared with its children."""

import ctypes
import gc
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def flush_denormals() -> None:
    """Treat denormal floats as zero on this CPU process.

    Tiny gradients otherwise make the discriminator's backward pass 60 to 100 times slower. Call it before the
    first parallel operation: threads inherit the setting when they start.
    """
    torch.set_flush_denormal(True)


def keep_freed_memory() -> None:
    """Let glibc's malloc keep freed blocks for the next tensors instead of handing them back to the system.

    A training step frees and allocates the same tensors over and over; page faults cost it 4 to 8 % on a CPU.
    Other C libraries are left alone. The settings stand in glibc's <malloc.h>.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    m_trim_threshold, m_mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    libc.mallopt(m_mmap_threshold, 2**30)
    libc.mallopt(m_trim_threshold, 2**30)


def busy_seconds() -> float:
    """A clock for comparing short calls: this thread's own time where it computes alone, the wall's otherwise.

    Other programs on the machine disturb the first one less. Windows counts it too coarsely.
    """
    alone = torch.get_num_threads() == 1 and platform.system() != "Windows"
    return time.thread_time() if alone else time.perf_counter()


@contextmanager
def pages_shared_with_forks() -> Iterator[None]:
    """Keep the garbage collector from the objects that exist before the block.

    A full collection writes to every object it looks at, and forked processes (the loader's) share those pages only
    until somebody writes: hours into a run the first one would cost 130 MB at once.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
