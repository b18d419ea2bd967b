"""trainer.precision null on a CPU that computes in bfloat16: the faster precision, found by steps in both.

Such CPUs multiply bfloat16 matrices up to eight times as fast, but small networks spend their time elsewhere, and casts
come on top: which precision is faster is a matter of the networks too.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dualgan.data.batches import Batch
from dualgan.gan import GAN
from dualgan.networks.cpu.plan import computed_by
from dualgan.runs.folder import CONFIG, holds_run
from dualgan.runs.reading import read_config, setting
from dualgan.runtime.process import busy_seconds
from dualgan.runtime.seeding import undisturbed
from dualgan.terminal.console import say
from dualgan.training.microbatch import number_of_parts
from dualgan.weights.checkpoints import read_checkpoint

FLOAT32, BF16 = "32-true", "bf16-mixed"
STEPS = 2  # of each precision, after one that warms up
MARGIN = 1.05  # by which bfloat16 must be faster


def precision_so_far(verb: str, ckpt_path: str | None, run_dir: Path) -> str | None:
    """What the run that goes on, or the one that is there, was trained with; None where that is not known.

    Verbs that do not train have no steps to time, and take bfloat16.
    """
    if verb != "fit":
        return BF16
    if ckpt_path is not None:
        found = read_checkpoint(ckpt_path).get("run", {}).get("precision")
    else:
        found = setting(read_config(run_dir / CONFIG, []), "trainer", "precision") if holds_run(run_dir) else None
    return None if found is None else str(found)


def faster_precision(gan: GAN, batch_size: int) -> str:
    """Time adversarial steps of a copy in both precisions; penalties are computed in float32 in both.

    The GAN stays as it is but for the plan of its convolutions, and so do all random numbers.
    """
    if gan.compiled:  # twice minutes
        return BF16
    say("Timing some steps in float32 and in bfloat16 (trainer.precision null)")
    with undisturbed(), computed_by(gan.convolutions.plan):
        seconds = seconds_of_steps(copy.deepcopy(gan), images(gan, batch_size))
    faster = BF16 if seconds[BF16] * MARGIN < seconds[FLOAT32] else FLOAT32
    times = ", ".join(f"{seconds[name]:.2g} s in {name}" for name in (FLOAT32, BF16))
    say(f"Training in {faster}: a step without penalties takes {times}.")
    return faster


def images(gan: GAN, batch_size: int) -> Batch:
    """A micro-batch of noise."""
    count = batch_size // number_of_parts(batch_size, gan.micro_batch)
    D = gan.discriminator
    real = torch.rand(count, D.num_channels, D.resolution, D.resolution).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(count) % D.num_classes if D.num_classes else None
    return Batch(2 * real - 1, labels, real if gan.takes_reference else None)


def seconds_of_steps(gan: GAN, batch: Batch) -> dict[str, float]:
    """The least seconds of an adversarial step by precision, in turns."""
    for network in gan.networks():
        if network.growing is not None:
            network.growing.grow_up()
    seconds = dict.fromkeys((FLOAT32, BF16), float("inf"))
    for number in range(1 + STEPS):
        for precision in seconds:
            start = busy_seconds()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == BF16):
                adversarial_step(gan, gan.as_seen(batch))
            if number:
                seconds[precision] = min(seconds[precision], busy_seconds() - start)
    return seconds


def adversarial_step(gan: GAN, batch: Batch) -> None:
    """What both main steps compute, but for the losses of logits."""
    real, labels, reference = batch
    gan.discriminator.requires_grad_(False)
    drawn = gan.draw_styles(len(real), labels, "generator")
    fake = gan.passes.synthesize(gan.generator, drawn.styles)
    _backward(gan.critic.score(fake, drawn.labels, reference, "generator", 0, "fake"))
    gan.discriminator.requires_grad_(True)
    fake, drawn = gan.draw_fakes(len(real), labels, "fakes")
    real_logits, fake_logits = gan.critic.pair(real, fake, labels, drawn.labels, reference, "discriminator", 0)
    _backward([*real_logits, *fake_logits])


def _backward(logits: Sequence[Tensor]) -> None:
    torch.autograd.backward(torch.stack([head.float().mean() for head in logits]).sum())
