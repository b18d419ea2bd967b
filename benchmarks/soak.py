"""Does a long run keep its memory? Trains for an hour and fits a line through what the run's processes hold.

Starts `dualgan fit` as a user would: a small StyleGAN2 with the dual contrastive loss on rendered 32x32 scenes, loader
workers, evaluations, sample grids, checkpoints, metrics.csv and W&B offline, each of them far more often than usual,
so that an hour holds as many of them as days of a large run. Every few seconds it adds up the memory, the open files
and the threads of the run and of all its children. Memory is what belongs to the run: memory shared by its processes
counts once, and pages of library files, which the kernel shares with other programs and drops at will, do not count.
The first minutes are left out: caches fill and allocators settle. Ctrl-C ends the run as a user's would, and its last
checkpoint is read back. Linux only: the numbers come from /proc.

    python benchmarks/soak.py
    python benchmarks/soak.py --minutes 20 --discard 5 --folder soak

The verdict: the slope of a line through the most memory of every five minutes, plus two standard errors, stays under
--bound megabytes per hour, and so does the difference between the most of the last and of the first third of the time;
files and threads do not grow; the run answers Ctrl-C with its exit code 130 and a readable checkpoint. The exit code is
0 where all of it holds. All samples are in FOLDER/soak.csv.
"""

import argparse
import csv
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from machine import print_machine

PLAYERS = (
    "--config clevr_demo.yaml --model.generator.channel_base 512 --model.generator.channel_max 32 "
    "--model.discriminator.channel_base 512 --model.discriminator.channel_max 32 --model.total_kimg 1000000 "
    "--model.cooldown_kimg 0 --model.warmup_kimg 0.1"
)
EVENTS = (
    "--quality.every_kimg 2 --samples.every_kimg 0.5 --checkpoints.every_kimg 0.5 --trainer.log_every_n_steps 5 "
    "--wandb.mode offline --trainer.accelerator cpu"
)
NUM_QUALITY = 256  # images of an evaluation, at most
SECONDS_TO_STOP = 300
INTERVAL = 5  # minutes; several evaluations, sample grids and checkpoints


@dataclass
class Sample:
    """What the run's processes hold at one moment; memory in MB."""

    seconds: float
    memory: float
    trainer: float
    workers: float
    others: float
    files: int
    threads: int
    processes: int


@dataclass
class Line:
    """A line through (hours, values): slope per hour and its standard error."""

    slope: float
    error: float


def family(root: int) -> list[int]:
    """A process and all below it."""
    found = [root]
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def own_mb(process: int) -> float:
    """Anonymous and shared memory of one process, shared pages divided among those who share them."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))) / 1024


def role(process: int, root: int) -> str:
    """The trainer itself, a loader worker (a fork: same words), or something else such as W&B."""
    if process == root:
        return "trainer"
    words = [Path(f"/proc/{p}/cmdline").read_bytes() for p in (process, root)]
    return "workers" if words[0] == words[1] else "others"


def sample(root: int, started: float) -> Sample:
    """Look at all processes of the run once; those that end meanwhile are left out."""
    memory = {"trainer": 0.0, "workers": 0.0, "others": 0.0}
    files = threads = processes = 0
    for process in family(root):
        try:
            memory[role(process, root)] += own_mb(process)
            files += len(list(Path(f"/proc/{process}/fd").iterdir()))
            threads += len(list(Path(f"/proc/{process}/task").iterdir()))
            processes += 1
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Sample(time.monotonic() - started, sum(memory.values()), **memory, files=files, threads=threads,
                  processes=processes)  # fmt: skip


def heights(samples: Iterable[Sample], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Hours, and the most that a value has reached in each interval.

    What the allocator gives back after an evaluation and takes again with the next goes up and down by tens of
    megabytes. A leak raises the top.
    """
    groups = itertools.groupby(samples, key=lambda s: int(s.seconds / 60 // INTERVAL))
    tops = [(number * INTERVAL / 60, max(getattr(s, name) for s in group)) for number, group in groups]
    hours, values = np.array(tops).T
    return hours, values


def fit_line(hours: np.ndarray, values: np.ndarray) -> Line:
    """Least squares, [N] and [N]; N of at least 3."""
    x = hours - hours.mean()
    slope = float(x @ values / (x @ x))
    residuals = values - values.mean() - slope * x
    return Line(slope, float(np.sqrt(residuals @ residuals / (len(x) - 2) / (x @ x))))


def begun(run: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the run trains, or has ended by itself: its images are rendered, its first evaluation is over."""
    while kimg(folder) == 0 and run.poll() is None:
        time.sleep(0.2)


def samples_of(run: subprocess.Popen[bytes], minutes: float, every: float) -> Iterator[Sample]:
    """Samples until the time is over or the run has ended by itself."""
    started = time.monotonic()
    while time.monotonic() - started < minutes * 60 and run.poll() is None:
        yield sample(run.pid, started)
        time.sleep(every)


def watch(run: subprocess.Popen[bytes], folder: Path, minutes: float, every: float) -> list[Sample]:
    """Collect samples, write them down as they come, and say how it goes every five minutes."""
    found: list[Sample] = []
    with (folder / "soak.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
        writer.writeheader()
        for seen in samples_of(run, minutes, every):
            if not found or seen.seconds // 300 > found[-1].seconds // 300:
                print(f"{seen.seconds / 60:5.1f} min: {describe(seen)}, {kimg(folder):g} kimg", flush=True)
            found.append(seen)
            writer.writerow(asdict(seen))
            file.flush()
    return found


def describe(seen: Sample) -> str:
    return (
        f"{seen.memory:.0f} MB (trainer {seen.trainer:.0f}, loader workers {seen.workers:.0f}, others "
        f"{seen.others:.0f}), {seen.files} files, {seen.threads} threads, {seen.processes} processes"
    )


def kimg(folder: Path) -> float:
    """Thousands of images that metrics.csv knows of."""
    path = folder / "run" / "metrics.csv"
    if not path.is_file():
        return 0.0
    with path.open(newline="") as file:
        return max((float(row["kimg"]) for row in csv.DictReader(file) if row.get("kimg")), default=0.0)


def report(samples: list[Sample], discard: float, bound: float) -> bool:
    """Print what was measured; whether it passes."""
    settled = [s for s in samples if s.seconds >= discard * 60]
    if len({s.seconds / 60 // INTERVAL for s in settled}) < 3:
        print(f"FAIL: fewer than three times {INTERVAL} minutes of samples after the first {discard:g} minutes")
        return False
    for name in ("trainer", "workers", "others"):
        part = fit_line(*heights(settled, name))
        print(f"  {name:<8} {part.slope:+8.2f} MB/hour, standard error {part.error:.2f}")
    line = fit_line(*heights(settled, "memory"))
    passed = verdict(
        f"memory {line.slope:+.2f} MB/hour, standard error {line.error:.2f}; bound {bound:g} on slope + 2 errors",
        line.slope + 2 * line.error < bound,
    )
    third = len(settled) // 3
    thirds = (settled[:third], settled[-third:])
    first, last = (max(s.memory for s in part) for part in thirds)
    allowed = bound * (settled[-1].seconds - settled[0].seconds) * 2 / 3 / 3600  # from third to third
    passed &= verdict(
        f"memory: {first:.1f} MB at most in the first third, {last:.1f} in the last; bound {allowed:+.1f}",
        last < first + allowed,
    )
    for name in ("files", "threads"):
        first, last = (float(np.median([getattr(s, name) for s in part])) for part in thirds)
        passed &= verdict(f"{name}: {first:g} in the first third, {last:g} in the last; bound +2", last <= first + 2)
    minutes, peak = samples[-1].seconds / 60, max(s.memory for s in samples)
    print(f"  peak {peak:.0f} MB, {len(samples)} samples over {minutes:.1f} minutes")
    return passed


def verdict(text: str, passed: bool) -> bool:
    print(f"{'pass' if passed else 'FAIL'}: {text}")
    return passed


def ends_well(run: subprocess.Popen[bytes], folder: Path) -> bool:
    """Interrupt the run; whether it saves and leaves a checkpoint that can be read."""
    from dualgan.weights.checkpoints import read_checkpoint

    if run.poll() is not None:
        return verdict(f"the run ended by itself with exit code {run.returncode}: see {folder / 'output.txt'}", False)
    run.send_signal(signal.SIGINT)
    try:
        code = run.wait(timeout=SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        run.kill()
        return verdict(f"the run did not stop within {SECONDS_TO_STOP} s of Ctrl-C", False)
    seen = int(read_checkpoint(folder / "run" / "checkpoints" / "last.ckpt")["state_dict"]["images_seen"])
    return verdict(f"Ctrl-C: exit code {code}, last.ckpt holds {seen} images", code == 130 and seen > 0)


def start(folder: Path, images: int) -> subprocess.Popen[bytes]:
    """Start the run in a folder that is empty or new; its output goes to output.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    scored = min(images, NUM_QUALITY)
    data = f"--data.num_images {images} --data.num_workers 2 --quality.num_fake {scored} --quality.num_real {scored}"
    words = [*f"{PLAYERS} {data} {EVENTS}".split(), "--run_dir", str(folder / "run")]
    environment = {**os.environ, "DUALGAN_CACHE": str(folder / "cache"), "PYTHONWARNINGS": "ignore"}
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "dualgan", "fit", *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="how long to train")
    parser.add_argument("--discard", type=float, default=10, help="first minutes that do not count")
    parser.add_argument("--images", type=int, default=2000, help="rendered scenes that it trains on")
    parser.add_argument("--every", type=float, default=5, help="seconds between samples")
    parser.add_argument("--bound", type=float, default=10, help="megabytes per hour that pass")
    parser.add_argument("--folder", type=Path, help="folder to keep the run in; a temporary one by default")
    arguments = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        run = start(folder, arguments.images)
        try:
            begun(run, folder)
            samples = watch(run, folder, arguments.minutes, arguments.every)
            ended_well = ends_well(run, folder)
        finally:
            if run.poll() is None:
                run.kill()
        print(f"{kimg(folder):g} kimg trained")
        return 0 if report(samples, arguments.discard, arguments.bound) & ended_well else 1


if __name__ == "__main__":
    sys.exit(main())
