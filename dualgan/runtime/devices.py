"""Which device there is, whether it computes what the networks need, and where float64 is."""

import platform
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_WITH_FLOAT64 = ("cpu", "cuda", "xpu")


def in_float64(x: Tensor) -> Tensor:
    """A tensor in float64: where it is, or on the CPU where its device has no such numbers, as Apple's GPUs."""
    return (x if x.device.type in _WITH_FLOAT64 else x.cpu()).double()


@cache
def cpu_name() -> str:
    """Name of the processor with what decides how it multiplies: "Intel(R) Xeon(R) Processor, AVX512, AMX, bfloat16".

    Virtual machines give several generations one name.
    """
    name = platform.processor() or platform.machine()
    with suppress(OSError):  # Linux alone has this file
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    marks = [
        torch.backends.cpu.get_cpu_capability(),
        "AMX" if _has("amx_bf16") else "",
        "bfloat16" if bf16_cpu() else "",
    ]
    return ", ".join([name, *filter(None, marks)])


def bf16_cpu() -> bool:
    """Whether the CPU computes in bfloat16 rather than emulating it."""
    return any(map(_has, ("avx512_bf16", "amx_bf16", "bf16")))


def _has(capability: str) -> bool:
    return bool(torch.cpu.get_capabilities().get(capability))


class Choice(NamedTuple):
    """A device that was chosen, and why, in a sentence."""

    device: str
    reason: str


@cache
def best_device() -> Choice:
    """CUDA, else Apple's GPU if it works, else the CPU."""
    if torch.cuda.is_available():
        return Choice("cuda", f"Running on cuda ({torch.cuda.get_device_name()}).")
    if not torch.backends.mps.is_available():
        return Choice("cpu", "Running on the CPU: no GPU was found.")
    if problem := what_fails_on("mps"):
        return Choice("cpu", f"Running on the CPU: this Mac's GPU does not compute what the networks need ({problem}).")
    return Choice("mps", "Running on mps, this Mac's GPU.")


def what_fails_on(device: str) -> str:
    """Why a device is of no use: an error, or a result unlike the CPU's, of a small penalty; empty if all is well."""
    try:
        found = _penalty_gradient(torch.device(device)).cpu()
    except (RuntimeError, TypeError, AssertionError) as error:  # also NotImplementedError: operators that it lacks
        return str(error).strip().partition("\n")[0]
    expected = _penalty_gradient(torch.device("cpu"))
    return "" if torch.allclose(found, expected, rtol=1e-2, atol=1e-3) else "its results are not the CPU's"


def _penalty_gradient(device: torch.device) -> Tensor:
    """Gradient of a gradient penalty through what the networks are made of: convolutions both ways, padding, sums."""
    values = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8).to(device).requires_grad_()
    weight = torch.linspace(1, -1, 3 * 3 * 3 * 3).view(3, 3, 3, 3).to(device).requires_grad_()
    up = functional.conv_transpose2d(values, weight, stride=2)
    down = functional.conv2d(functional.pad(up, (1, 1, 1, 1), mode="reflect"), weight, stride=2)
    out = functional.leaky_relu(down, 0.2).square().mean(dim=(2, 3)).logsumexp(dim=1).sum()
    (gradient,) = torch.autograd.grad(out, values, create_graph=True)
    (found,) = torch.autograd.grad(gradient.square().sum(), weight)
    return found
