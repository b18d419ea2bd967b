"""What the training sends between devices: every collective of real steps, counted on two gloo processes.

First the counts with small networks: calls and bytes by kind of step. Then the bytes of config E at 256x256, whose
gradients are as many as its parameters, and what a ring all-reduce of them takes: an estimate, 2 (R - 1) / R times the
bytes over the bandwidth.

    python benchmarks/communication.py --ranks 64 --bandwidth 25 --step 0.5
"""

import argparse
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from machine import print_machine
from pytorch_lightning import Callback, Trainer
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, IterableDataset

from dualgan.callbacks import RankConsistency, Signals
from dualgan.data import Batch
from dualgan.gan import GAN
from dualgan.losses import DualContrastive
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator

SMALL: dict[str, Any] = {"channel_base": 128, "channel_max": 16}
STEPS = ("first step: all penalties", "plain step", "path length step")
NETWORKS: list[Any] = [StyleGAN2Generator, StyleGAN2Discriminator]
Calls = Counter[tuple[str, int]]  # (collective, bytes that each rank sends) -> calls


class Noise(IterableDataset[Batch]):
    """Endless batches of eight noise images."""

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield Batch(torch.rand(8, 3, 16, 16) * 2 - 1, None)


class Counting(Callback):
    """Counts collectives step by step, twice: our calls with their bytes, and what the profiler sees of any origin."""

    def __init__(self) -> None:
        self.steps: list[Calls] = []
        self.seen: list[int] = []
        for name, argument in (("all_reduce", 0), ("all_gather", 1), ("broadcast", 0)):
            setattr(dist, name, self._counted(name, getattr(dist, name), argument))

    def _counted(self, name: str, collective: Callable[..., Any], argument: int) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.steps:
                tensor = arguments[argument]
                self.steps[-1][name, tensor.numel() * tensor.element_size()] += 1
            return collective(*arguments, **options)

        return call

    def on_train_batch_start(self, *_: Any) -> None:
        """Start both counts."""
        self.steps.append(Counter())
        self.profile = profile(activities=[ProfilerActivity.CPU])
        self.profile.start()

    def on_train_batch_end(self, *_: Any) -> None:
        """End the profiler's."""
        self.profile.stop()
        names = ("gloo:all_reduce", "gloo:all_gather", "gloo:broadcast")
        self.seen.append(sum(event.name in names for event in self.profile.events()))  # type: ignore[no-untyped-call]


def train(rank: int, port: int) -> None:
    """Train three steps as one of two ranks; rank 0 prints what it has counted."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ.update(place)
    players: dict[str, Any] = {
        "generator": partial(StyleGAN2Generator, **SMALL),
        "discriminator": partial(StyleGAN2Discriminator, **SMALL),
    }
    gan = GAN(16, **players, loss=DualContrastive(), warmup_kimg=0, r1_gamma=1, g_reg_interval=2, d_reg_interval=8)
    counting = Counting()
    trainer = Trainer(
        max_steps=3, accelerator="cpu", devices=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, limit_val_batches=0, log_every_n_steps=50,
        callbacks=[RankConsistency(), Signals(), counting],
    )  # fmt: skip
    trainer.fit(gan, DataLoader(Noise(), batch_size=None))
    if rank:
        return
    for name, player in (("G", gan.generator), ("D", gan.discriminator)):
        print(f"{name}'s gradients: {sum(p.numel() for p in player.parameters()) * 4:,} bytes")
    for name, calls, seen in zip(STEPS, counting.steps, counting.seen, strict=True):
        total = sum(count * size for (_, size), count in calls.items())
        print(f"\n{name}: {calls.total()} calls ({seen} seen by the profiler), {total:,} bytes")
        for (collective, size), count in sorted(calls.items(), key=lambda item: -item[0][1]):
            print(f"  {count} x {collective:<10} {size:>12,} bytes")


def estimate(ranks: int, bandwidth: float, step: float) -> None:
    """Print the gradients' bytes of config E at 256x256 and what a ring all-reduce of them takes."""
    with torch.device("meta"):
        g, d = (sum(p.numel() for p in network(256).parameters()) * 4 for network in NETWORKS)
    steps = {
        "plain": g + d, "with path length (1 of 4)": 2 * g + d, "with R1 (1 of 16)": g + 2 * d,
        "mean": g * (1 + 1 / 4) + d * (1 + 1 / 16),
    }  # fmt: skip
    print(f"\nconfig E at 256x256, {ranks} ranks, {bandwidth:g} GB/s, {step:g} s of computation per step (estimates):")
    for name, count in steps.items():
        seconds = 2 * (ranks - 1) / ranks * count / (bandwidth * 1e9)
        share = seconds / (seconds + step)
        print(f"  {name:<26} {count / 1e6:6.1f} MB  {seconds * 1e3:6.1f} ms  {share:6.1%} of a step")


def main() -> None:
    """Count, then estimate."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ranks", type=int, default=64, help="devices of the estimate")
    parser.add_argument("--bandwidth", type=float, default=25, help="of the slowest link between devices, GB/s")
    parser.add_argument("--step", type=float, default=0.5, help="seconds that a device computes per step")
    options = parser.parse_args()
    print_machine()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # on Linux as copies of this process, which has imported everything
    context: Any = torch.multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    processes = [context.Process(target=train, args=(rank, port)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if failed := [process.exitcode for process in processes if process.exitcode]:
        sys.exit(f"the training ended with exit code {failed[0]}: nothing was counted")
    estimate(options.ranks, options.bandwidth, options.step)


if __name__ == "__main__":
    main()
