"""Small tensor helpers that every floor may use: image conversion, CPU settings, gathering over ranks."""

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 images [N, H, W, C] to float32 [N, C, H, W] in [-1, 1], laid out channels_last."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Convert float images [N, C, H, W] in [-1, 1] to uint8 [N, H, W, C]; values outside are clamped.

    The rounding is the field's: x * 127.5 + 128, truncated.
    """
    return (images.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


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


def world_size() -> int:
    """Number of processes in the default group, 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Rank of this process in the default group, 0 without one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather_with_own_gradient(values: Tensor) -> Tensor:
    """Concatenate `values` [N, ...] of all ranks to [R*N, ...]; only this rank's slice carries a gradient.

    A loss computed from the result on every rank, its gradient times the world size, has the exact gradient once
    it is averaged over the ranks. Without a process group it returns `values`.
    """
    if world_size() == 1:
        return values
    slots = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(slots, values.detach().contiguous())
    slots[rank()] = values
    return torch.cat(slots)


def scale_gradient(value: Tensor, factor: float) -> Tensor:
    """The same value, with its gradient times `factor`."""
    return value if factor == 1 else value.detach() + factor * (value - value.detach())


def mean_over_ranks(value: Tensor) -> Tensor:
    """Average a tensor without gradient over all ranks."""
    if world_size() == 1:
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


@torch.no_grad()
def average_over_ranks_(tensors: list[Tensor]) -> None:
    """Average tensors over all ranks in place, in one all-reduce; all ranks give the same number of the same shapes."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    parts = flat.split_with_sizes([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)])


def gather(values: Tensor) -> Tensor:
    """Stack a tensor [...] without gradient of all ranks to [R, ...]."""
    if world_size() == 1:
        return values.detach()[None]
    slots = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(slots, values.detach().contiguous())
    return torch.stack(slots)


def max_over_ranks(value: Tensor) -> Tensor:
    """Largest value of a tensor without gradient over all ranks."""
    if world_size() == 1:
        return value.detach()
    largest = value.detach().clone()
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest
