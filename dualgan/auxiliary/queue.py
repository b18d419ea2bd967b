"""A queue of the latest keys, the negatives of instance discrimination."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.runtime.distributed import gather
from dualgan.runtime.seeding import mix_seed


class KeyQueue(nn.Module):
    """The newest keys of all ranks, newest first, with the time that each was made at; the same on all ranks.

    It starts with random directions, made at time 0.

    Args:
        size: K, number of keys.
        width: d, dimensions of a key.
        name: What the random start follows from.

    Attributes:
        keys: [K, d], of length 1.
        made_at: Images seen when each was made, int64 [K], 0 for the random start.
    """

    keys: Tensor
    made_at: Tensor

    def __init__(self, size: int, width: int, name: str) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(mix_seed("queue", name, size, width))
        self.register_buffer("keys", F.normalize(torch.randn(size, width, generator=generator), dim=1))
        self.register_buffer("made_at", torch.zeros(size, dtype=torch.int64))
        self.register_load_state_dict_post_hook(_check_order)  # type: ignore[no-untyped-call]

    def push(self, parts: list[Tensor], finite: Tensor, now: int) -> None:
        """Put the keys of a batch in front, and drop the oldest; nothing where the step was not finite.

        Args:
            parts: Keys [n, d] of each micro-batch of this rank, strided shares of the batch.
            finite: Whether to keep them, a bool scalar.
            now: Images seen after the step.
        """
        own = torch.stack(parts, dim=1).flatten(0, 1)  # micro-batches are strided shares of a rank's batch,
        new = gather(own.detach()).transpose(0, 1).flatten(0, 1).to(self.keys.dtype)  # and these of the whole batch
        times = torch.full((len(new),), now, dtype=torch.int64, device=new.device)
        for held, fresh in ((self.keys, new), (self.made_at, times)):
            held.copy_(torch.where(finite, torch.cat([fresh, held])[: len(held)], held))

    def ages(self, now: int) -> Tensor:
        """Thousands of images since each key was made, [K]."""
        return (now - self.made_at) / 1000


def _check_order(queue: nn.Module, _: object) -> None:
    assert isinstance(queue, KeyQueue)
    if (queue.made_at.diff() > 0).any():
        raise ValueError(
            "the queue in the checkpoint does not go from its newest key to its oldest (made_at rises): it was not "
            "written by this program, or is damaged. Start from its networks with --init_from"
        )
