"""Settings of a run that depend on the machine or on other settings, and those of Lightning that cannot work here."""

import os
import secrets

import torch
from jsonargparse import Namespace

from dualgan.runtime.devices import bf16_cpu
from dualgan.terminal.console import is_rank_zero
from dualgan.terminal.options import automatic_device


def fit_to_machine(trainer: Namespace) -> None:
    """Choose what the configuration leaves open: a device that works, and the precision that is native there.

    The precision stays open on a CPU with bfloat16: there the faster one is to be found out (`cli.precision`). Several
    processes, which must agree before they can talk to each other, take bfloat16.
    """
    device = trainer.accelerator
    if device in (None, "auto"):
        device = automatic_device()
        # Lightning would choose the same, but for an Apple GPU that does not work; "auto" stays what is written down
        if device == "cpu":
            trainer.accelerator = "cpu" if torch.backends.mps.is_available() else trainer.accelerator
    elif device == "gpu":
        device = "cuda" if torch.cuda.is_available() else "mps"
    alone = trainer.devices in ("auto", 1, "1") and trainer.num_nodes == 1
    if trainer.precision is None and not (device == "cpu" and native_bf16(device) and alone):
        trainer.precision = "bf16-mixed" if native_bf16(device) else "32-true"


def check_networks(model: Namespace) -> None:
    """Refuse null in the place of a network.

    Raises:
        ValueError: There is none.
    """
    for name in ("generator", "discriminator"):
        if model[name] is None:
            raise ValueError(f"model.{name} is null: name a class with its settings, or leave it out for the default")


def native_bf16(device: object) -> bool:
    """Whether a kind of device of this machine computes in bfloat16 rather than emulating it, as far as is known."""
    if device == "cuda":
        return torch.cuda.is_available() and bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and bf16_cpu()


def chosen_seed(seed: bool | int) -> int:
    """The seed of the run; `true` draws one.

    Raises:
        ValueError: No seed at all was asked for, one out of range, or several processes would each draw their own.
    """
    if seed is False:
        raise ValueError("seed_everything false has no meaning here: give a number, or true to draw one")
    if seed is not True:
        if not 0 <= seed < 2**32:
            raise ValueError(
                f"seed_everything {seed} is out of range: expected 0 to 4294967295, which NumPy takes, or true"
            )
        return seed
    if is_rank_zero():
        return secrets.randbelow(2**32)
    if "PL_GLOBAL_SEED" not in os.environ:
        raise ValueError("seed_everything true would differ between the machines of this run: give a number")
    return int(os.environ["PL_GLOBAL_SEED"])  # the first process has drawn it and started this one


def check_trainer(trainer: Namespace) -> None:
    """Refuse settings of Lightning that work with a single optimizer only, and numbers that it fails at later.

    Raises:
        ValueError: One of them is set.
    """
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            f"trainer.accumulate_grad_batches {trainer.accumulate_grad_batches} does not work with two alternating "
            f"players: choose the data's batch_size, and --model.micro_batch for what fits into memory at once"
        )
    if trainer.max_epochs not in (None, -1):
        raise ValueError(
            f"trainer.max_epochs {trainer.max_epochs} has no meaning here: give the length in thousands of images, "
            f"--model.total_kimg, or --trainer.max_steps"
        )
    if trainer.log_every_n_steps is not None and trainer.log_every_n_steps < 1:
        raise ValueError(
            f"trainer.log_every_n_steps {trainer.log_every_n_steps} is out of range: expected 1 or more. Divergence is "
            f"looked for at log steps, so there must be some"
        )
    if trainer.gradient_clip_val is not None:
        raise ValueError(
            f"trainer.gradient_clip_val {trainer.gradient_clip_val:g} does not work with two alternating players: "
            f"leave it out; --model.r1_gamma is what keeps D's gradients small"
        )
