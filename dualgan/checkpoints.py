"""What a checkpoint of ours holds beside Lightning's own entries, and how to read its networks back."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualgan.networks import Discriminator, Generator, build_network
from dualgan.networks.base import Network
from dualgan.tensor_files import read_tensors
from dualgan.version import __version__

FORMAT_VERSION = 1
LARGEST_ARGUMENT = 2**16  # of a network: more layers or channels than any has


def header(generator: Generator, discriminator: Discriminator) -> dict[str, Any]:
    """Plain data that rebuilds both networks without a configuration."""
    return {
        "format_version": FORMAT_VERSION,
        "version": __version__,
        "generator": generator.describe(),
        "discriminator": discriminator.describe(),
    }


def check_header(checkpoint: Any, source: str = "the checkpoint") -> dict[str, Any]:
    """The header of a checkpoint of ours.

    Raises:
        ValueError: It has none, or one of a newer format.
    """
    found = checkpoint.get("dualgan") if isinstance(checkpoint, dict) else None
    if found is None:
        raise ValueError(f"{source} was not written by dualgan: expected a .ckpt file from a run's checkpoints folder")
    if found["format_version"] > FORMAT_VERSION:
        raise ValueError(
            f"{source} has format version {found['format_version']} (written by dualgan {found['version']}), "
            f"this is dualgan {__version__} with format version {FORMAT_VERSION}: update dualgan"
        )
    header: dict[str, Any] = found
    return header


def check_shapes(checkpoint: dict[str, Any], expected: dict[str, Tensor]) -> None:
    """Refuse a checkpoint whose tensors do not fit the networks of the configuration.

    Raises:
        ValueError: Names or shapes differ; the message names the first ones.
    """
    built = check_header(checkpoint)
    state: dict[str, Tensor] = checkpoint["state_dict"]
    problems = [f"{name} is missing" for name in expected.keys() - state.keys()]
    problems += [f"{name} is superfluous" for name in state.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(state[name].shape)} in the file and {tuple(expected[name].shape)} in the configuration"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    if problems:
        raise ValueError(
            f"the checkpoint does not fit the configured networks ({len(problems)} differences, for instance: "
            f"{'; '.join(sorted(problems)[:3])}). It was made with {_in_short(built['generator'])} and "
            f"{_in_short(built['discriminator'])}: use the config.yaml of its run"
        )


def _in_short(description: dict[str, Any]) -> str:
    return f"{description['class_name']} at resolution {description['init_args'].get('resolution')}"


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint without running any code in it.

    Raises:
        ValueError: No such file, not a checkpoint of ours, or unreadable.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}: expected a .ckpt file, for instance RUN/checkpoints/last.ckpt")
    try:
        checkpoint = read_tensors(path)
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise ValueError(
            f"cannot read {path} as a checkpoint ({reason}): it may be cut off or no .ckpt file"
        ) from error
    check_header(checkpoint, str(path))
    result: dict[str, Any] = checkpoint
    return result


def load_generator(path: str | os.PathLike[str]) -> Generator:
    """The averaged (EMA) generator of a checkpoint, in eval mode on the CPU.

    Args:
        path: A .ckpt file of a run. Nothing in it is executed.

    Raises:
        ValueError: No such file, not a checkpoint of ours, or unreadable.
    """
    return generator_of(read_checkpoint(path))


def generator_of(checkpoint: dict[str, Any], ema: bool = True) -> Generator:
    """The averaged or (without `ema`) the trained generator of a checkpoint that was read, in eval mode.

    Raises:
        ValueError: The checkpoint does not hold it.
    """
    name = "generator_ema" if ema else "generator"
    generator = _network_of(checkpoint, "generator", name)
    assert isinstance(generator, Generator)
    return generator


def load_discriminator(path: str | os.PathLike[str]) -> Discriminator:
    """The discriminator of a checkpoint, in eval mode on the CPU.

    Args:
        path: A .ckpt file of a run. Nothing in it is executed.

    Raises:
        ValueError: No such file, not a checkpoint of ours, or unreadable.
    """
    return discriminator_of(read_checkpoint(path))


def discriminator_of(checkpoint: dict[str, Any]) -> Discriminator:
    """The discriminator of a checkpoint that was read, in eval mode.

    Raises:
        ValueError: The checkpoint does not hold it.
    """
    discriminator = _network_of(checkpoint, "discriminator", "discriminator")
    assert isinstance(discriminator, Discriminator)
    return discriminator


def _network_of(checkpoint: dict[str, Any], described: str, name: str) -> Network:
    prefix = f"{name}."
    state = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    if not state:
        raise ValueError(f"the checkpoint holds no {name}: expected one that a training has written, not an export")
    network = _built_for(state, checkpoint["dualgan"][described])
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _built_for(state: dict[str, Tensor], description: Any) -> Network:
    """The described network, once it is known that it needs no more memory than the state that comes with it.

    Raises:
        ValueError: The description, which may come from an untrusted file, does not fit the state.
    """
    try:
        largest = max((v for v in description["init_args"].values() if isinstance(v, int)), default=0)
        if largest > LARGEST_ARGUMENT:
            raise ValueError(f"an argument is {largest}, more than {LARGEST_ARGUMENT}")
        with torch.device("meta"):
            planned = {name: value.shape for name, value in build_network(description).state_dict().items()}
        if planned != {name: value.shape for name, value in state.items()}:
            raise ValueError("its tensors have other names or shapes")
        return build_network(description)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the checkpoint's network is not the one that it describes ({error})") from error
