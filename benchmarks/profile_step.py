"""Where does the training step spend its time?

Runs the phases of the real training step through the real Trainer, each under PyTorch's profiler, and adds up the
operators' own time by kind. Python's part is what no operator accounts for; the profiler makes it look larger than it
is. The first step warms up and is left out.

    python benchmarks/profile_step.py                                # 32, 64, 128 and 256
    python benchmarks/profile_step.py --resolution 64 --steps 5
"""

import argparse
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from machine import print_machine
from pytorch_lightning import Trainer
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, IterableDataset

from dualgan.data import Batch
from dualgan.gan import GAN
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.runtime.process import keep_freed_memory
from dualgan.terminal.console import quiet_libraries

WIDTH: dict[str, Any] = {"channel_base": 4096, "channel_max": 128}
BATCHES = {32: 8, 64: 8, 128: 4, 256: 4}
PHASES = {
    "generator_step": "G",
    "path_length_step": "G path length",
    "discriminator_step": "D",
    "penalty_step": "D R1",
    "update_ema": "EMA",
    "advance": "clock",
}

# First match wins; names are those of the profiler without "aten::".
KINDS: dict[str, tuple[str, ...]] = {
    "matrix products": ("addmm", "mm", "bmm", "baddbmm", "mkldnn_linear", "addmv", "mv", "dot"),
    "random numbers": ("normal_", "randn", "rand", "uniform_", "randint", "random_"),
    "Adam, EMA, norms": ("_fused_adam_", "_foreach", "linalg_vector_norm"),
    "copies, fills": (
        "copy_", "fill_", "zero_", "cat", "constant_pad_nd", "_to_copy", "clone", "contiguous", "stack", "repeat",
    ),
    "allocation": ("empty", "new_empty", "resize_", "zeros", "ones", "full"),
    "views": (
        "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice", "select", "as_strided",
        "unsqueeze", "squeeze", "detach", "flatten", "unbind", "split", "chunk", "unfold", "narrow", "alias",
    ),
}  # fmt: skip
AUTOGRAD = ("autograd::", "Backward", "torch::autograd", "AccumulateGrad", "Optimizer")


def kind_of(name: str, shapes: list[Any]) -> str:
    """Name of the row that an operator counts for."""
    if any(mark in name for mark in AUTOGRAD):
        return "autograd"
    name = name.removeprefix("aten::")
    if "conv" in name:
        # Low-pass filters: 4x4 weights of one input channel
        return "FIR" if any(len(s) == 4 and list(s[1:]) == [1, 4, 4] for s in shapes) else "convolutions"
    for kind, names in KINDS.items():
        if re.fullmatch(rf"({'|'.join(names)})(_.*)?", name):  # with variants such as empty_like
            return kind
    return "elementwise, sums"


class Measured(GAN):
    """Profiles each phase once the first step is over."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.milliseconds: dict[str, dict[str, float]] = {name: defaultdict(float) for name in PHASES.values()}
        for method, phase in PHASES.items():
            setattr(self, method, partial(self._profiled, phase, getattr(self, method)))

    def _profiled(self, phase: str, run: Callable[..., None], *args: Any) -> None:
        if self.clock == 0:  # the first minibatch warms up
            run(*args)
            return
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
            started = time.perf_counter()
            run(*args)
            total = 1e3 * (time.perf_counter() - started)
        found = self.milliseconds[phase]
        for event in profiler.key_averages(group_by_input_shape=True):
            spent = event.self_cpu_time_total / 1e3
            found[kind_of(event.key, event.input_shapes)] += spent
            total -= spent
        found["Python and the rest"] += total


class Noise(IterableDataset[Batch]):
    """Endless batches of noise images."""

    def __init__(self, resolution: int, batch: int) -> None:
        images = torch.rand(batch, 3, resolution, resolution) * 2 - 1
        self.batch = Batch(images.contiguous(memory_format=torch.channels_last), None)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self.batch


def measure(resolution: int, steps: int) -> dict[str, dict[str, float]]:
    """Milliseconds per training step by phase and kind; every phase runs in every step."""
    gan = Measured(
        resolution,
        generator=partial(StyleGAN2Generator, z_dim=128, w_dim=128, mapping_layers=4, **WIDTH),
        discriminator=partial(StyleGAN2Discriminator, **WIDTH),
        r1_gamma=1.0,
        g_reg_interval=1,
        d_reg_interval=1,
        convolutions="measured",
    )
    with quiet_libraries():
        trainer = Trainer(
            max_steps=steps + 1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, limit_val_batches=0,
        )  # fmt: skip
        trainer.fit(gan, DataLoader(Noise(resolution, BATCHES[resolution]), batch_size=None))
    return {
        phase: {kind: ms / steps for kind, ms in found.items()} for phase, found in gan.milliseconds.items() if found
    }


def report(resolution: int, found: dict[str, dict[str, float]]) -> None:
    """Print percent of each phase's time by kind, and the phase's milliseconds."""
    threads = torch.get_num_threads()
    print(f"\n{resolution}x{resolution}, {WIDTH}, batch {BATCHES[resolution]}, float32, {threads} threads")
    print(f"{'percent of own time':24}" + "".join(f"{phase:>15}" for phase in found))
    totals = {phase: sum(kinds.values()) for phase, kinds in found.items()}
    names = {kind for kinds in found.values() for kind in kinds}
    by_share = sorted(names, key=lambda kind: -sum(kinds.get(kind, 0) for kinds in found.values()))
    for kind in by_share:
        shares = (100 * kinds.get(kind, 0) / totals[phase] for phase, kinds in found.items())
        print(f"{kind:24}" + "".join(f"{share:15.1f}" for share in shares))
    print(f"{'ms':24}" + "".join(f"{total:15.1f}" for total in totals.values()))


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, choices=sorted(BATCHES), help="default: all of them")
    parser.add_argument("--steps", type=int, default=3, help="profiled training steps")
    arguments = parser.parse_args()
    print_machine()
    keep_freed_memory()
    for resolution in [arguments.resolution] if arguments.resolution else sorted(BATCHES):
        report(resolution, measure(resolution, arguments.steps))


if __name__ == "__main__":
    main()
