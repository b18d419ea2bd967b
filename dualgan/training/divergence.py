"""When a training has gone wrong: steps whose losses or gradients were not finite."""

import torch
from torch import Tensor, nn


class DivergenceError(RuntimeError):
    """Training met non-finite gradients too many times in a row."""


class Divergence(nn.Module):
    """Counts minibatches with a non-finite loss or gradient, on the device.

    Args:
        limit: Minibatches in a row that stop the run.
    """

    total: Tensor
    run: Tensor
    longest_run: Tensor

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("total", torch.zeros((), dtype=torch.int64))
        self.register_buffer("run", torch.zeros((), dtype=torch.int64))
        # since the last look at it
        self.register_buffer("longest_run", torch.zeros((), dtype=torch.int64), persistent=False)

    def count(self, finite: Tensor) -> None:
        """See whether a minibatch was finite, a bool scalar; nobody waits for the device."""
        self.run.add_(1).mul_(~finite)
        self.longest_run.copy_(torch.maximum(self.longest_run, self.run))
        self.total.add_(~finite)

    def check(self, kimg: float) -> None:
        """Look whether there were too many in a row since the last time; waits for the device.

        Raises:
            DivergenceError: There were.
        """
        if (longest := int(self.longest_run)) >= self.limit:
            raise DivergenceError(
                f"{longest} minibatches in a row had a non-finite loss or gradient (max_non_finite {self.limit}) up to "
                f"{kimg:.1f} kimg. No such step changed the weights of its player. Resume from the last checkpoint "
                f"with a lower learning rate or a larger r1_gamma"
            )
        self.longest_run.zero_()
