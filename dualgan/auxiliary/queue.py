"""A queue of the latest keys, the negatives of instance discrimination."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualgan.runtime.distributed import gather
from dualgan.runtime.seeding import mix_seed

FOREIGN = "it was not written by this program, or is damaged. Start from its networks with --init_from"


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

    def push(self, new: Tensor, finite: Tensor, now: int) -> None:
        """Put the keys of a batch in front, and drop the oldest; nothing where the step was not finite.

        Args:
            new: The keys of all ranks [N, d], the same on each of them.
            finite: Whether to keep them, a bool scalar.
            now: Images seen after the step.
        """
        new = new.to(self.keys.dtype)
        times = torch.full((len(new),), now, dtype=torch.int64, device=new.device)
        for held, fresh in ((self.keys, new), (self.made_at, times)):
            held.copy_(torch.where(finite, torch.cat([fresh, held])[: len(held)], held))

    def ages(self, now: int) -> Tensor:
        """Thousands of images since each key was made, [K]."""
        return (now - self.made_at) / 1000


def whole_batch(parts: list[Tensor]) -> Tensor:
    """Keys [n, d] of each micro-batch of this rank -> those of the batch of all ranks, in the order of its images."""
    own = torch.stack(parts, dim=1).flatten(0, 1)  # micro-batches are strided shares of a rank's batch,
    return gather(own.detach()).transpose(0, 1).flatten(0, 1)  # and these of the whole batch


def _check_order(queue: nn.Module, _: object) -> None:
    assert isinstance(queue, KeyQueue)
    if (queue.made_at.diff() > 0).any():
        raise ValueError(f"the queue in the checkpoint is not in order of age (made_at rises): {FOREIGN}")


def check_times(training: nn.Module, images_seen: int) -> None:
    """Refuse queues that were not made during this training, which has seen so many images.

    Raises:
        ValueError: A key is older than the training, or younger than now.
    """
    for queue in training.modules():
        if isinstance(queue, KeyQueue):
            newest, oldest = int(queue.made_at.max()), int(queue.made_at.min())
            if oldest < 0 or newest > images_seen:
                raise ValueError(
                    f"the queue in the checkpoint has keys made at {oldest} to {newest} images (made_at), and the "
                    f"clock stands at {images_seen}: {FOREIGN}"
                )
