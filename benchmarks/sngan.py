"""How fast is a training step of SNGAN 32x32 next to torch-mimicry's?

Both train in one process and in turns, at equal settings: networks of equal widths and numbers of parameters, hinge
loss, Adam, batches of real noise images, `--n_dis` batches for D and one step of G per turn. torch-mimicry's side is
its own `train_step` of G and D, without its trainer. Ours is `GAN` in Lightning's trainer: with its loop, the moving
average and the clock. Upsampling is bilinear on both sides, as torch-mimicry's is; the published one is nearest.

Beside the time that passes stands the processor time of all threads, which another load on the machine disturbs less.
With OMP_NUM_THREADS=1 it is what a step takes on a machine that does nothing else.

    pip install --no-deps torch-mimicry           # or, to keep it apart: --target FOLDER, and PYTHONPATH=FOLDER
    python benchmarks/sngan.py                    # batch 64, 5 steps of D, published widths
    python benchmarks/sngan.py --n_dis 1 --turns 20
"""

import argparse
import importlib
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from machine import print_machine
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, IterableDataset

from dualgan.data import Batch
from dualgan.gan import GAN
from dualgan.losses import Hinge
from dualgan.networks import SNGANDiscriminator, SNGANGenerator
from dualgan.runtime.process import flush_denormals, keep_freed_memory
from dualgan.terminal.console import quiet_libraries

PEER = "torch_mimicry"
ADAM: dict[str, Any] = {"lr": 2e-4, "betas": (0.0, 0.9)}


def peers_module() -> Any:
    """torch-mimicry's SNGAN; the package itself is not started: for its metrics it wants TensorFlow."""
    spec = importlib.util.find_spec(PEER)
    assert spec is not None
    sys.modules[PEER] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{PEER}.nets.sngan.sngan_32")


class Mimicry:
    """torch-mimicry's networks with its own steps."""

    def __init__(self, widths: tuple[int, int], real: Tensor, n_dis: int) -> None:
        module = peers_module()
        self.generator = module.SNGANGenerator32(ngf=widths[0])
        self.discriminator = module.SNGANDiscriminator32(ndf=widths[1])
        self.adams = [Adam(player.parameters(), **ADAM) for player in (self.generator, self.discriminator)]
        self.real, self.n_dis = (real.contiguous(), None), n_dis
        self.log = SimpleNamespace(add_metric=lambda *args, **settings: None)

    def turn(self) -> None:
        """`n_dis` steps of D and one of G."""
        for _ in range(self.n_dis):
            self.discriminator.train_step(self.real, self.generator, self.adams[1], self.log)
        self.generator.train_step(self.real, self.discriminator, self.adams[0], self.log)


class Clocks(NamedTuple):
    """Seconds: passed, and of processors by all threads of this program."""

    passed: float
    processor: float

    @classmethod
    def now(cls) -> "Clocks":
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: "Clocks") -> "Clocks":
        return Clocks(self.passed - start.passed, self.processor - start.processor)


class Turns(IterableDataset[Batch]):
    """The batches of our training; before every `n_dis` of them the other package has its turn.

    What passes from one batch to the next is our step: Lightning fetches one batch ahead, but each time only one.
    """

    def __init__(self, real: Tensor, n_dis: int, turns: int, peer: Callable[[], None] | None) -> None:
        self.batch, self.n_dis, self.turns, self.peer = Batch(real, None), n_dis, turns, peer
        self.ours: list[Clocks] = []
        self.theirs: list[Clocks] = []

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.turns + 1):  # the first one warms up
            started = Clocks.now()
            if self.peer is not None:
                self.peer()
            between = Clocks.now()
            for _ in range(self.n_dis):
                yield self.batch
            self.theirs.append(between.since(started))
            self.ours.append(Clocks.now().since(between))
        yield self.batch  # the one that is fetched ahead


def parameters(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())


def measure(widths: tuple[int, int], batch: int, n_dis: int, turns: int, with_peer: bool, upsampling: Any) -> None:
    """Train both and print the table."""
    real = (torch.rand(batch, 3, 32, 32) * 2 - 1).contiguous(memory_format=torch.channels_last)
    gan = GAN(
        32, generator=partial(SNGANGenerator, width=widths[0], upsampling=upsampling),
        discriminator=partial(SNGANDiscriminator, width=widths[1]), loss=Hinge(), learning_rate=ADAM["lr"],
        betas=ADAM["betas"], d_steps=n_dis, r1_gamma=0, path_length_weight=0, style_mixing=0,
        convolutions="measured",
    )  # fmt: skip
    peer = Mimicry(widths, real, n_dis) if with_peer else None
    data = Turns(real, n_dis, turns, peer.turn if peer else None)
    load = os.getloadavg()[0]
    with quiet_libraries():
        trainer = Trainer(
            max_steps=n_dis * (turns + 1), accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        )  # fmt: skip
        trainer.fit(gan, DataLoader(data, batch_size=None))
    sides: dict[str, tuple[list[Clocks], Any]] = {"dualgan": (data.ours, gan)}
    if peer is not None:
        sides["torch-mimicry"] = data.theirs, peer
        for player in ("generator", "discriminator"):
            assert parameters(getattr(peer, player)) == parameters(getattr(gan, player))
    print(f"batch {batch}, {n_dis} steps of D per step of G, {torch.get_num_threads()} threads, {turns} turns")
    print(f"load of the machine before and after: {load:.1f}, {os.getloadavg()[0]:.1f} (this program is a part of it)")
    print(f"{'':28}" + "".join(f"{name:>16}" for name in sides))
    rows: dict[str, Callable[[list[Clocks], Any], str]] = {
        "parameters of G": lambda _, side: f"{parameters(side.generator):,}",
        "parameters of D": lambda _, side: f"{parameters(side.discriminator):,}",
        "ms per turn": lambda times, _: f"{1e3 * statistics.median(t.passed for t in times):.1f}",
        "processor ms per turn": lambda times, _: f"{1e3 * statistics.median(t.processor for t in times):.1f}",
        "images/s of D": lambda times, _: f"{n_dis * batch / statistics.median(t.passed for t in times):.1f}",
    }
    timed = {name: (times[1:], side) for name, (times, side) in sides.items()}
    for label, value in rows.items():
        print(f"{label:28}" + "".join(f"{value(*side):>16}" for side in timed.values()))
    if peer is not None:
        for k, name in enumerate(("time that passes", "processor time")):
            ratios = sorted(theirs[k] / ours[k] for ours, theirs in zip(data.ours[1:], data.theirs[1:], strict=True))
            span = f"from {ratios[0]:.2f} to {ratios[-1]:.2f}"
            print(f"ours is faster by {statistics.median(ratios):.2f} in {name} (median of turns, {span})")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--n_dis", type=int, default=5, help="steps of D per step of G")
    parser.add_argument("--turns", type=int, default=10, help="timed turns of each")
    parser.add_argument("--upsampling", choices=("bilinear", "nearest"), default="bilinear", help="of ours")
    parser.add_argument("--widths", type=int, nargs=2, default=(256, 128), metavar=("G", "D"))
    arguments = parser.parse_args()
    print_machine()
    flush_denormals()
    keep_freed_memory()  # for both of them: what `dualgan fit` does for itself
    with_peer = importlib.util.find_spec(PEER) is not None
    if not with_peer:
        print("torch-mimicry is not installed and left out: pip install --no-deps torch-mimicry")
    measure(tuple(arguments.widths), arguments.batch, arguments.n_dis, arguments.turns, with_peer, arguments.upsampling)


if __name__ == "__main__":
    main()
