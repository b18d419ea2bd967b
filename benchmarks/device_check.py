"""Does dualgan compute on this machine's GPU what it computes on a CPU, and how fast?

One command on a machine with a CUDA GPU, this repository and its dependencies. It compares published values, ten
recorded steps, the gradients of every penalty and every attention module with the CPU's; resumes a training; looks for
operations that make the host wait for the device; and measures the training step of config E as images/s and as a
share of the card's own measured matrix products. Nothing in it ends the program: what fails, and what the time did not
reach, is a line of the table.

Parts come in the order of their worth, each with its own limit, and all of them keep to `--minutes`. The folder gets
device_check.json and device_check.md after every part. The exit code is 1 if something failed.

    python benchmarks/device_check.py                          # 8 minutes at most
    python benchmarks/device_check.py --out h100 --minutes 4
    python benchmarks/device_check.py --device cpu --toy       # that the program itself works
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from device_numerics import attention, golden_values, host_waits, resume, second_derivatives, ten_steps
from device_report import Outcome, Part, Report
from device_speed import VARIANTS, Case, Peaks, Size, against_textbook, products
from device_speed import rates as rates_of
from machine import print_machine, processor
from step_settings import SETTINGS

import dualgan.training.compilation as compilation
from dualgan.runtime.process import flush_denormals
from dualgan.terminal.console import quiet_libraries
from dualgan.version import __version__

RESOLUTIONS = (256, 128, 64)
BATCH = 32  # config E's


def size_of(toy: bool) -> Size:
    """What is measured: config E, or hardly anything."""
    if toy:
        return Size({32: SETTINGS["toy"][32]}, product=64, seconds=0.0)
    return Size({r: SETTINGS["wide"][r]._replace(batch=BATCH) for r in RESOLUTIONS}, product=8192, seconds=0.5)


def parts(device: torch.device, size: Size, toy: bool = False) -> list[Part]:
    """Everything, what matters most first; of the recorded and the compiled steps the toy size has one."""
    peaks, resolutions = Peaks(device, size), sorted(size.settings, reverse=True)
    largest = resolutions[0]
    full = "TF32" if device.type == "cuda" else "float32"

    def cases(precision: str, way: str) -> list[Case]:
        return [Case(r, variant, precision, way=way) for r in resolutions for variant in VARIANTS]

    def rates(found: list[Case]) -> partial[Iterator[Outcome]]:
        return partial(rates_of, found, device, size, peaks)

    return [
        Part("published values", 30, partial(golden_values, device)),
        Part("second derivatives", 40, partial(second_derivatives, device)),
        Part("attention", 30, partial(attention, device)),
        Part("host waits", 40, partial(host_waits, device)),
        Part("resume", 40, partial(resume, device)),
        Part("matrix products", 20, peaks.outcomes),
        Part("textbook form", 60, partial(against_textbook, largest, device, size, peaks)),
        Part("ten recorded steps", 90, partial(ten_steps, device, 1 if toy else None)),
        Part("time in products", 30, partial(products, largest, device, size, peaks)),
        Part("bf16", 90, rates(cases("bf16", "eager"))),
        Part("CUDA graphs", 60, rates([Case(r, "plain", "bf16", way="graphs") for r in reversed(resolutions)])),
        Part("compiled", 150, rates(cases("bf16", "compiled")[: 1 if toy else None])),
        Part("float32", 60, rates(cases(full, "eager"))),
    ]


def about(device: torch.device) -> dict[str, str]:
    """The machine and the versions, as the table begins."""
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return {
        "device": f"{device.type}, {processor(device)}",
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))) if device.type == "cuda" else "-",
        "threads": str(torch.get_num_threads()),
        "dualgan": __version__,
        "torch": torch.__version__,
        "CUDA": f"{torch.version.cuda or '-'}, cuDNN {cudnn or '-'}",
    }


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("device_check"), help="folder of the results")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything")
    parser.add_argument("--toy", action="store_true", help="a size at which the numbers mean nothing")
    arguments = parser.parse_args()
    if arguments.minutes <= 0.5:
        parser.error(f"--minutes {arguments.minutes:g}: expected more than half a minute")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no CUDA GPU here; --device cpu --toy shows that the program works")
    flush_denormals()
    device = torch.device(arguments.device)
    print_machine(device)
    report = Report(arguments.out, about(device), 60 * arguments.minutes)
    # generating code takes a minute: the toy size traces, and runs what was traced
    backend = "aot_eager" if arguments.toy else compilation.BACKEND
    with mock.patch.object(compilation, "BACKEND", backend), quiet_libraries():
        good = report.run(parts(device, size_of(arguments.toy), arguments.toy))
    print(f"\n{'All checks passed' if good else 'Something failed'}: see {arguments.out / 'device_check.md'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
