"""What does attention add to a training step at 64x64?

Compares the networks of `train_step.py` (128 channels) as they are with the same ones that have SAN in the generator,
reference attention in the discriminator, or both. A step is what it is there: G, D and the lazy penalties by their
share, without Adam. All variants run in one process, in turns, so that a change in the machine's load meets all of
them alike; a phase's time is the median over the repeats.

    python benchmarks/attention_step.py                             # SAN at 32x32, reference attention at 8x8
    python benchmarks/attention_step.py --repeats 5 --san 16 --bf16
"""

import argparse
import statistics
import time

import torch
from machine import print_machine
from step_settings import SETTINGS, SHARES, Setting
from train_step import Step

from dualgan.networks.attention import SAN, ReferenceAttention
from dualgan.runtime.process import flush_denormals, keep_freed_memory

RESOLUTION = 64


def variants(setting: Setting, san: int, reference: int, bf16: bool) -> dict[str, Step]:
    """Training steps by what is in them."""
    in_g = {"attention": SAN, "attention_resolution": san}
    in_d = {"attention": ReferenceAttention, "attention_resolution": reference}
    return {
        "plain": Step(RESOLUTION, setting, bf16, True),
        "SAN": Step(RESOLUTION, setting, bf16, True, generator=in_g),
        "reference": Step(RESOLUTION, setting, bf16, True, discriminator=in_d),
        "both": Step(RESOLUTION, setting, bf16, True, generator=in_g, discriminator=in_d),
    }


def measure(steps: dict[str, Step], repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds of every phase of every variant."""
    found: dict[str, dict[str, list[float]]] = {name: {phase: [] for phase in SHARES} for name in steps}
    for repeat in range(repeats + 1):  # the first one warms up
        for phase in SHARES:
            for name in steps if repeat % 2 else reversed(steps):
                with steps[name].prepared("ours"):
                    start = time.perf_counter()
                    steps[name].phases[phase]()
                    elapsed = time.perf_counter() - start
                if repeat:
                    found[name][phase].append(elapsed)
    return {name: {phase: statistics.median(t) for phase, t in times.items()} for name, times in found.items()}


def report(times: dict[str, dict[str, float]]) -> None:
    """Print milliseconds by phase, and what each variant adds to the plain step."""
    print(f"{'':24}" + "".join(f"{name:>12}" for name in times))
    for phase, share in SHARES.items():
        often = f" (every {round(1 / share)})" if share < 1 else ""
        print(f"{phase + ' ms' + often:24}" + "".join(f"{found[phase] * 1e3:12.1f}" for found in times.values()))
    totals = {name: sum(SHARES[phase] * seconds for phase, seconds in found.items()) for name, found in times.items()}
    print(f"{'step ms':24}" + "".join(f"{total * 1e3:12.1f}" for total in totals.values()))
    print(f"{'added':24}" + "".join(f"{total / totals['plain'] - 1:12.0%}" for total in totals.values()))


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="timed runs of each phase of each variant")
    parser.add_argument("--width", choices=sorted(SETTINGS), default="narrow", help="wide: channels of config E")
    parser.add_argument("--san", type=int, default=32, help="resolution of SAN in the generator")
    parser.add_argument("--reference", type=int, default=8, help="resolution of reference attention")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, penalties in float32")
    arguments = parser.parse_args()
    print_machine()
    flush_denormals()
    keep_freed_memory()  # what `dualgan fit` does for itself
    setting = SETTINGS[arguments.width][RESOLUTION]
    threads, precision = torch.get_num_threads(), "bfloat16" if arguments.bf16 else "float32"
    print(
        f"{RESOLUTION}x{RESOLUTION}, {setting}, {precision}, {threads} threads: SAN at {arguments.san}, ",
        end="",
    )
    print(f"reference attention at {arguments.reference}, {arguments.repeats} repeats")
    report(measure(variants(setting, arguments.san, arguments.reference, arguments.bf16), arguments.repeats))


if __name__ == "__main__":
    main()
