"""What do Lightning, logging and callbacks cost on top of the training's maths?

`dualgan fit` runs in this process with everything that a run has by default: progress bar, metrics.csv, W&B
(offline), signals, checks of the ranks, checkpoints, the data loader. Every few batches it pauses, and a bare loop
trains a second GAN on the very batches that the run has just seen: the same steps, called one after the other, with
plain optimizers and `loss.backward()`. So both run in one process, in turns, and a change in the machine's load meets
both alike. At the end both must hold the same weights, bit by bit.

Wall time and the process's CPU time are measured; a first turn warms up, the overhead is the median over the others.
CPU time sees less of other programs that share the machine, and nothing of W&B's own process. What happens at
intervals beyond the logged steps (checkpoint, sample grid) is timed once and charged by its share: both have an
interval of 50 kimg by default. Scores (FID) are left out: they are measurements that the user asks for, of the length
that the user asks for.

    python benchmarks/overhead.py                                    # 64x64
    python benchmarks/overhead.py --resolution 32 --turns 5 --steps 10
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from machine import print_machine
from pytorch_lightning import Callback, LightningModule, Trainer
from step_settings import SETTINGS, Setting
from torch.optim import Adam

from dualgan.callbacks import RunCheckpoint, SampleGrid
from dualgan.cli import lightning as lightning_cli
from dualgan.cli.main import main as dualgan
from dualgan.data import Batch
from dualgan.gan import GAN

WANTED = 5.0  # percent


class PlainOptimizer:
    """Adam behind the one name that a step knows it by."""

    def __init__(self, optimizer: Adam) -> None:
        self.optimizer, self.step = optimizer, optimizer.step


class BareGAN(GAN):
    """The same maths without a trainer: no toggling through Lightning, no precision plugin, nothing logged."""

    def start(self) -> None:
        """Stand in for the trainer's set-up."""
        self.warmup_kimg = 0.0
        self._plain = [PlainOptimizer(optimizer) for optimizer in self.configure_optimizers()]

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        return self._plain

    def manual_backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def player(self, player: int) -> Iterator[None]:
        other = (self.discriminator, self.generator)[player]
        other.requires_grad_(False)
        yield
        other.requires_grad_(True)

    def update_optimizers(self) -> None:
        """Their settings stay."""

    def advance(self, images: int) -> None:
        self.clock += images
        self.images_seen.fill_(self.clock)
        self.divergence.count(self.step_is_finite)


class Turns(Callback):
    """Measures the run and, in its pauses, the bare loop."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seen: list[Batch] = []
        self.run: list[tuple[float, float]] = []  # wall and CPU seconds of each turn
        self.bare: list[tuple[float, float]] = []
        self.rare: dict[str, float] = {}  # CPU seconds
        self.gan: BareGAN | None = None
        self._started = (0.0, 0.0)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Change over when a turn is complete; before that, all of the last batch's work is done, logging included."""
        assert isinstance(pl_module, GAN)
        if self.gan is None:
            self.gan = make_bare(pl_module)
        elif len(self.seen) == self.steps:
            self.run.append(since(self._started))
            self.train_bare()
        if not self.seen:
            self._started = clocks()
        self.seen.append(batch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Last turn; compare the two, and time what comes at long intervals."""
        assert isinstance(pl_module, GAN)
        assert self.gan is not None
        self.run.append(since(self._started))
        self.train_bare()
        for name, value in pl_module.state_dict().items():
            assert torch.equal(value, self.gan.state_dict()[name]), f"{name} differs: the two are not the same maths"
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            started = clocks()
            if isinstance(callback, RunCheckpoint):
                callback._save(trainer)
                self.rare["checkpoint"] = since(started)[1] / (callback.every_kimg * 1000)
            elif isinstance(callback, SampleGrid):
                callback.picture(pl_module)
                self.rare["sample grid"] = since(started)[1] / (callback.every_kimg * 1000)

    def train_bare(self) -> None:
        assert self.gan is not None
        started = clocks()
        for i, batch in enumerate(self.seen):
            self.gan.training_step(batch, i)
        self.bare.append(since(started))
        self.seen = []


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(started: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = clocks()
    return wall - started[0], cpu - started[1]


def make_bare(gan: GAN) -> BareGAN:
    """A GAN with the settings and the state of another one, for the same batches."""
    bare = BareGAN(
        gan.generator.resolution,
        generator=lambda *_: type(gan.generator)(**gan.generator.init_args),
        discriminator=lambda *_: type(gan.discriminator)(**gan.discriminator.init_args),
        total_kimg=gan.total_images / 1000,
        r1_gamma=gan.penalties.terms[0][1],
        seed=gan.seed,
    )
    bare.load_state_dict(gan.state_dict())
    bare.convolutions = gan.convolutions  # timed once, by whoever comes first
    bare.start()
    return bare


def measure(resolution: int, setting: Setting, turns: int, steps: int) -> tuple[Turns, int]:
    """Train; returns the measurements and the batch size."""
    batch = setting.batch
    players = " ".join(
        f"--model.{player} StyleGAN2{player.capitalize()} --model.{player}.channel_base {setting.channel_base} "
        f"--model.{player}.channel_max {setting.channel_max}"
        for player in ("generator", "discriminator")
    )
    words = (
        f"fit --data SyntheticCLEVR --data.resolution {resolution} --data.num_images 64 --data.batch_size {batch} "
        f"{players} --model.generator.z_dim {setting.w_dim} --model.generator.w_dim {setting.w_dim} "
        f"--model.generator.mapping_layers {setting.mapping_layers} "
        f"--model.r1_gamma 1 --model.total_kimg {(turns + 1) * steps * batch / 1000} --wandb.mode offline "
        f"--trainer.accelerator cpu --trainer.precision 32-true --quality.num_fake 8 --quality.num_real 8 --run_dir run"
    )
    found = Turns(steps)
    original = lightning_cli.DualGANCLI.before_fit

    def before_fit(cli: lightning_cli.DualGANCLI) -> None:
        original(cli)
        cli.trainer.callbacks.append(found)  # type: ignore[attr-defined]

    setattr(lightning_cli.DualGANCLI, "before_fit", before_fit)  # noqa: B010
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                code = dualgan(words.split())
        finally:
            os.chdir(here)
    if code:
        print(output.getvalue(), file=sys.stderr)
        sys.exit(code)
    return found, batch


def report(found: Turns, batch: int) -> bool:
    """Print images/s of both; whether the overhead is small enough, by CPU time."""
    images = batch * found.steps
    print(f"{'':28}{'bare loop':>12}{'dualgan fit':>12}{'overhead':>10}")
    for column, name in enumerate(("wall", "CPU")):
        bare, run = ([turn[column] for turn in turns[1:]] for turns in (found.bare, found.run))
        overhead = 100 * (statistics.median(r / b for r, b in zip(run, bare, strict=True)) - 1)
        speeds = [images / statistics.median(seconds) for seconds in (bare, run)]
        print(f"{'images/s by ' + name + ' time':28}{speeds[0]:12.2f}{speeds[1]:12.2f}{overhead:9.1f}%")
    per_image = 1 / speeds[0]  # CPU seconds
    for name, seconds in found.rare.items():
        print(f"{name + ' every 50 kimg':52}{100 * seconds / per_image:9.2f}%")
        overhead += 100 * seconds / per_image
    print(f"{'all, by CPU time':52}{overhead:9.1f}% (wanted: at most {WANTED:g} %)")
    return overhead <= WANTED


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, choices=sorted(SETTINGS["narrow"]), default=64)
    parser.add_argument("--width", choices=sorted(SETTINGS), default="narrow", help="wide: channels of config E")
    parser.add_argument("--turns", type=int, default=4, help="measured turns of each; one more warms up")
    parser.add_argument("--steps", type=int, default=16, help="training steps in a turn; penalties come every 16")
    arguments = parser.parse_args()
    print_machine()
    torch.set_num_threads(1)
    setting = SETTINGS[arguments.width][arguments.resolution]
    found, batch = measure(arguments.resolution, setting, arguments.turns, arguments.steps)
    print(f"\n{arguments.resolution}x{arguments.resolution}, batch {batch}, 1 thread, {arguments.turns} turns of "
          f"{arguments.steps} steps")  # fmt: skip
    return 0 if report(found, batch) else 1


if __name__ == "__main__":
    sys.exit(main())
