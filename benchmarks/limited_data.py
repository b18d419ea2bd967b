"""What do augmentation and instance discrimination cost per training step?

Trains with each method in turns in one process, so that a change in the machine's load meets all alike, and prints the
time of a step (the lazy penalties, Adam and the loader included; the median over the turns) beside that of plain ADA.
The published ratios are those of FakeCLR's supplement, Table 1, on two A100 GPUs at 256x256.

    python benchmarks/limited_data.py                          # 32x32 and 64x64, narrow networks
    python benchmarks/limited_data.py --resolution 64 --bf16
"""

import argparse
import statistics
import tempfile
import time
import warnings
from functools import partial
from typing import Any

import torch
from machine import print_machine
from pytorch_lightning import Callback, Trainer
from step_settings import SETTINGS, Setting

from dualgan.augment import ADA, APA, Augmentation, DiffAugment
from dualgan.auxiliary import InstanceDiscrimination
from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.terminal.console import quiet_libraries

STEPS = 16  # every lazy penalty at least once
PUBLISHED = {
    "instance_real": 8.18 / 6.15,
    "instance_fake": 10.06 / 6.15,
    "insgen": 11.70 / 6.15,
    "fakeclr": 10.67 / 6.15,
}
METHODS = ("none", "diffaugment", "apa", "ada", *PUBLISHED)


def augmentation_of(method: str) -> Augmentation | None:
    """Always on, so that nothing depends on how far a training is."""
    if method in ("none", "diffaugment", "apa"):
        return {"none": None, "diffaugment": DiffAugment(), "apa": APA("fixed", p=0.5)}[method]
    return ADA("bgc", "fixed", p=0.5)


def gan_of(method: str, resolution: int, setting: Setting) -> GAN:
    """A GAN in the sizes of the other benchmarks."""
    widths: dict[str, Any] = {"channel_base": setting.channel_base, "channel_max": setting.channel_max}
    sizes: dict[str, Any] = {"z_dim": setting.w_dim, "w_dim": setting.w_dim, "mapping_layers": setting.mapping_layers}
    task: Any = partial(InstanceDiscrimination, preset=method)  # type: ignore[arg-type]
    return GAN(
        resolution, generator=partial(StyleGAN2Generator, **sizes, **widths),
        discriminator=partial(StyleGAN2Discriminator, **widths), augmentation=augmentation_of(method),
        auxiliary=[task] if method in PUBLISHED else None, r1_gamma=1.0, convolutions="measured",
    )  # fmt: skip


class Timer(Callback):
    """Measures whole steps, from the start of the second to the end of the last."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.starts.append(time.perf_counter())

    def seconds(self) -> float:
        """Per step."""
        return (self.starts[-1] - self.starts[1]) / (len(self.starts) - 2)


def run(gan: GAN, data: SyntheticCLEVR, bf16: bool, steps: int) -> float:
    """Seconds per step."""
    timer = Timer()
    Trainer(
        max_steps=steps + 2, accelerator="cpu", precision="bf16-mixed" if bf16 else "32-true", callbacks=[timer],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        limit_val_batches=0, use_distributed_sampler=False, log_every_n_steps=10_000,
    ).fit(gan, datamodule=data)  # fmt: skip
    return timer.seconds()


def compare(resolution: int, setting: Setting, bf16: bool, repeats: int, steps: int, folder: str) -> None:
    """Print one table."""
    data = SyntheticCLEVR(resolution=resolution, num_images=64, batch_size=setting.batch, cache_dir=folder)
    gans = {method: gan_of(method, resolution, setting) for method in METHODS}
    times: dict[str, list[float]] = {method: [] for method in METHODS}
    for _ in range(repeats):
        for method, gan in gans.items():
            times[method].append(run(gan, data, bf16, steps))
    precision, threads = "bfloat16, penalties float32" if bf16 else "float32", torch.get_num_threads()
    print(f"\n{resolution}x{resolution}, {setting}, {precision}, {threads} threads, {repeats} turns of {steps} steps")
    print(f"{'':16}{'ms per step':>12}{'of plain':>10}{'of ADA':>8}{'published':>11}")
    plain, ada = (statistics.median(times[method]) for method in ("none", "ada"))
    for method in METHODS:
        seconds = statistics.median(times[method])
        published = f"{PUBLISHED[method]:11.2f}" if method in PUBLISHED else ""
        print(f"{method:16}{seconds * 1e3:12.1f}{seconds / plain:10.2f}{seconds / ada:8.2f}{published}")


def main() -> None:
    """Read the options and print a table for every resolution."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, choices=sorted(SETTINGS["narrow"]), help="default: 32 and 64")
    parser.add_argument("--width", choices=sorted(SETTINGS), default="narrow", help="wide: channels of config E")
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    parser.add_argument("--steps", type=int, default=STEPS, help="timed steps of a turn")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, penalties in float32")
    arguments = parser.parse_args()
    print_machine()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        for resolution in [arguments.resolution] if arguments.resolution else (32, 64):
            setting = SETTINGS[arguments.width][resolution]
            compare(resolution, setting, arguments.bf16, arguments.repeats, arguments.steps, folder)


if __name__ == "__main__":
    main()
