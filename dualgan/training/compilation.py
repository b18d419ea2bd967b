"""The networks' forward passes in the adversarial steps, as they are or under torch.compile.

Compiled code has no second derivatives, so penalties always run the networks as they are, with the same parameters.
The compiled functions take the network as an argument: modules, their names and copies know nothing of them.
"""

import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dualgan.networks import Discriminator, Generator
from dualgan.networks.base import Heads


def synthesize(generator: Generator, styles: Tensor) -> Tensor:
    """Styles [N, ...] -> images [N, C, R, R]."""
    images: Tensor = generator.synthesis(styles)
    return images


def score(
    discriminator: Discriminator, images: Tensor, labels: Tensor | None, reference: Tensor | None
) -> Tensor | Heads:
    """Images [N, C, R, R], class indices [N], reference images -> logits."""
    logits: Tensor | Heads = discriminator(images, labels, reference)
    return logits


def score_pair(
    discriminator: Discriminator,
    real: Tensor,
    fake: Tensor,
    labels: Tensor | None,
    fake_labels: Tensor | None,
    reference: Tensor | None,
) -> tuple[Tensor | Heads, Tensor | Heads]:
    """Real and generated images [N, C, R, R], their class indices [N], reference images -> logits of both."""
    return discriminator.pair(real, fake, labels, reference, fake_labels)


class Passes(NamedTuple):
    """The forward passes of the adversarial steps."""

    synthesize: Callable[[Generator, Tensor], Tensor] = synthesize
    score: Callable[[Discriminator, Tensor, Tensor | None, Tensor | None], Tensor | Heads] = score
    score_pair: Callable[
        [Discriminator, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None],
        tuple[Tensor | Heads, Tensor | Heads],
    ] = score_pair


BACKEND = "inductor"


@cache
def compiled_passes() -> Passes:
    """The same functions, compiled at their first call for every shape of their arguments."""
    # Random numbers from PyTorch's generators: a run is the same function of its seed as without compiling.
    options: dict[str, Any] | None = {"fallback_random": True} if BACKEND == "inductor" else None
    calls: list[Any] = [torch.compile(call, dynamic=False, backend=BACKEND, options=options) for call in Passes()]
    return Passes(*calls)


def passes(compiled: bool) -> Passes:
    """The forward passes of the adversarial steps."""
    return compiled_passes() if compiled else Passes()


def check_compiler(device: str) -> None:
    """Look for what torch.compile makes code with, before anything is trained.

    Raises:
        ValueError: It is missing.
    """
    compilers = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    if device == "cpu" and not any(map(shutil.which, compilers)):
        raise ValueError(
            f"compile true needs a C++ compiler, and there is no {' or '.join(compilers)}: install one, set CXX to "
            f"its path, or leave compile out"
        )
    if device == "cuda" and find_spec("triton") is None:
        raise ValueError("compile true needs Triton on a GPU: install the package triton, or leave compile out")
