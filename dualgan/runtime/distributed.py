"""The ranks of a run: their number, and tensors gathered and averaged over them."""

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world_size() -> int:
    """Number of processes in the default group, 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Rank of this process in the default group, 0 without one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def from_rank_zero(value: T) -> T:
    """What rank 0 has of a small object; all ranks must call it."""
    if world_size() == 1:
        return value
    slot = [value]
    dist.broadcast_object_list(slot, src=0)
    return slot[0]


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
