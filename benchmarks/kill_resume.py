"""Does a run that is killed with SIGKILL again and again, and resumed, end with the same bits?

Trains one small run in one piece and then the same run several times over, killed and resumed each time:

- at random times (`--times`), start and end of the process included;
- right before a random one of its operations on files: opening, renaming, linking, removing (`--operations`);
- in the middle of writing, before and after renaming each kind of file (`--points`, on by default).

After each kill nothing in the folder may be damaged. A run that comes to its end between two kills begins anew. At each
end the folders must hold the same files: checkpoints with the same entries down to the last bit of every tensor and
counter, and metrics.csv, metrics.jsonl, config.yaml and pictures with the same bytes. Every part of a run is a process
of its own, forked from one that has imported everything.

    python benchmarks/kill_resume.py
    python benchmarks/kill_resume.py --times 30 --operations 30 --seed 1 --workers 2
"""

import argparse
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

import torch
from machine import print_machine
from PIL import Image

import dualgan.cli.lightning  # noqa: F401  the slow part of a start, before processes are forked
from dualgan.cli.main import main as dualgan_main
from dualgan.files import atomic
from dualgan.files.atomic import append
from dualgan.runs import metrics_csv as metrics_file
from dualgan.weights.checkpoints import read_checkpoint

RUN = """
--model.generator StyleGAN2Generator --model.generator.channel_base 128 --model.generator.z_dim 16
--model.generator.w_dim 16 --model.generator.mapping_layers 2
--model.discriminator StyleGAN2Discriminator --model.discriminator.channel_base 128
--model.loss DualContrastive --model.warmup_kimg 0.03 --model.d_reg_interval 4 --model.cooldown_kimg 0.1
--model.ema_kimg 0.1 --data SyntheticCLEVR --data.resolution 8 --data.num_images 20 --data.batch_size 8
--trainer.log_every_n_steps 1 --trainer.accelerator cpu --trainer.enable_progress_bar false --wandb.mode disabled
--quality.every_kimg 0.048 --quality.num_fake 8 --samples.every_kimg 0.032 --samples.rows 2 --samples.columns 2
--checkpoints.every_kimg 0.024 --checkpoints.keep 2
"""

POINTS = (
    ("half", "*.ckpt*", 1),
    ("half", "*.ckpt*", 2),
    ("before", "last.ckpt", 2),
    ("after", "last.ckpt", 2),
    ("before", "best.ckpt", 1),
    ("after", "best.ckpt", 1),
    ("before", "kimg_*.ckpt", 1),
    ("half", "metrics.csv", 2),
    ("before", "metrics.csv", 1),
    ("half", "metrics.jsonl", 1),
    ("half", "*.png*", 1),
    ("before", "kimg_*.png", 1),
    ("half", ".config.yaml*", 1),
)
"""Where to kill: in the middle of writing a file of that name, or around giving it its name, for the n-th time."""


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def kill_at_point(kind: str, pattern: str, nth: int) -> None:
    """Let this process kill itself when it has half written, or is about to rename, or has renamed a file."""
    seen = 0

    def hit(now: str, name: str) -> bool:
        nonlocal seen
        seen += now == kind and fnmatchcase(name, pattern)
        return now == kind and fnmatchcase(name, pattern) and seen == nth

    def halfway(name: str, content: bytes, write: Callable[[bytes], Any]) -> None:
        if hit("half", name):
            write(content[: len(content) // 2])
            die()
        write(content)

    save, write_bytes, replace = torch.save, Path.write_bytes, Path.replace

    def save_to(content: Any, file: Any) -> None:
        buffer = io.BytesIO()
        save(content, buffer)
        halfway(Path(file.name).name, buffer.getvalue(), lambda part: (file.write(part), file.flush()))

    def write_to(path: Path, content: bytes) -> None:
        halfway(path.name, content, lambda part: write_bytes(path, part))

    def append_to(path: Path, content: bytes) -> None:
        halfway(path.name, content, lambda part: append(path, part))

    def rename(path: Path, target: Path) -> Path:
        if hit("before", target.name):
            die()
        renamed = replace(path, target)
        if hit("after", target.name):
            die()
        return renamed

    patches = {
        (torch, "save"): save_to, (Path, "write_bytes"): write_to, (Path, "replace"): rename,
        (metrics_file, "append"): append_to, (atomic, "append"): append_to,
    }  # fmt: skip
    for (owner, name), function in patches.items():
        setattr(owner, name, function)


def watch_files(run: Path, at: int | None, log: Path) -> None:
    """Write down this process's operations on the run's files; kill it before the one of number `at`."""
    count = 0
    names = ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir")
    out = log.open("w")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in names or not any(str(run) in str(argument) for argument in arguments[:2]):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        count += 1
        out.write(f"{event} {Path(str(arguments[0])).name}\n")
        out.flush()
        if count == at:
            die()

    sys.addaudithook(hook)


@dataclass
class Part:
    """One process of a run: what it is told, and how it ended."""

    run: Path
    words: list[str]
    sabotage: Callable[[], None] = lambda: None
    seconds: float | None = None
    once_begun: bool = False  # count the seconds from when config.yaml is written: imports and parsing are over

    def go(self) -> int:
        """Run it; the signal that ended it as a negative number, or its exit code."""
        sys.stdout.flush()
        self.before = self._config_time()
        pid = os.fork()
        if pid == 0:
            self._child()
        if self.seconds is not None:
            if self.once_begun:
                self._wait_for_config()
            time.sleep(self.seconds)
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _config_time(self) -> int:
        path = self.run / "config.yaml"
        return path.stat().st_mtime_ns if path.is_file() else 0

    def _wait_for_config(self) -> None:
        last = time.perf_counter() + 60
        while self._config_time() == self.before and time.perf_counter() < last:
            time.sleep(0.005)

    def _child(self) -> NoReturn:
        code = 1
        try:
            out = os.open(self.run.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            torch.set_num_threads(1)
            self.sabotage()
            resume = ["--ckpt_path", "last"] if any(self.run.glob("checkpoints/*.ckpt")) else []
            code = dualgan_main(["fit", *self.words, "--run_dir", str(self.run), *resume])
        finally:
            os._exit(code)


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested content by path."""
    if not isinstance(value, dict | list | tuple):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for key, child in items for k, v in flat(child, f"{name}/{key}").items()}


def entries_that_differ(one: Path, other: Path) -> list[str]:
    """Names of what two checkpoints do not have in common."""
    left, right = flat(read_checkpoint(one)), flat(read_checkpoint(other))

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b)
        return bool(a == b)

    return [name for name in sorted(left.keys() | right.keys()) if not same(left.get(name), right.get(name))]


def differences(whole: Path, killed: Path) -> list[str]:
    """What two runs' folders do not have in common."""
    names = [{str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()} for run in (whole, killed)]
    found = [f"{name} is in one of the folders only" for name in sorted(names[0] ^ names[1])]
    for name in sorted(names[0] & names[1]):
        if name.endswith(".ckpt"):
            found += [f"{name} differs in {entry}" for entry in entries_that_differ(whole / name, killed / name)[:3]]
        elif (whole / name).read_bytes() != (killed / name).read_bytes():
            found.append(f"{name} has other bytes")
    return found


def damages(run: Path) -> list[str]:
    """What a kill has broken: nothing, it is hoped."""
    found = []
    for path in sorted(run.glob("*/*")):
        try:
            if path.suffix == ".ckpt":
                read_checkpoint(path)
            elif path.suffix == ".png":
                Image.open(path).load()
        except Exception as error:
            found.append(f"{path.name}: {error}")
    last = run / "checkpoints" / "last.ckpt"
    if last.is_file() and not found:
        promised = read_checkpoint(last)["run"]["metrics_rows"]
        csv = run / "metrics.csv"
        there = csv.read_bytes().count(b"\n") - 1 if csv.is_file() and csv.stat().st_size else 0
        if there < promised:
            found.append(f"metrics.csv has {there} rows, the checkpoint needs {promised}")
    return found


def at(run: Path) -> str:
    """How far a run has come, on disk."""
    last = run / "checkpoints" / "last.ckpt"
    return f"{int(read_checkpoint(last)['state_dict']['images_seen']) / 1000:g} kimg" if last.is_file() else "nothing"


def study(name: str, whole: Path, run: Path, words: list[str], parts: list[tuple[str, Part]]) -> bool:
    """Kill a run at all the places and compare; whether all is well."""
    problems = []
    for label, part in parts:
        code = part.go()
        problems += damages(run)
        ended = "killed" if code == -signal.SIGKILL else f"ended by itself with {code}"
        print(f"  {label:<34} {ended}; saved: {at(run)}", flush=True)
        if code == 0:  # complete: the next part begins anew
            problems += differences(whole, run)
            shutil.rmtree(run)
        elif code != -signal.SIGKILL:
            problems.append(f"{label}: exit code {code}, see {run.with_suffix('.log')}")
    code = Part(run, words).go()
    problems += [f"the last part: exit code {code}"] if code else differences(whole, run)
    print(f"{name}: {len(parts)} parts, " + ("same bits" if not problems else "; ".join(problems)), flush=True)
    return not problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=12, help="kills at random times")
    parser.add_argument("--operations", type=int, default=12, help="kills before random operations on files")
    parser.add_argument("--points", action=argparse.BooleanOptionalAction, default=True, help="kills at named points")
    parser.add_argument("--kimg", type=float, default=0.4, help="length of the run")
    parser.add_argument("--workers", type=int, default=0, help="loader processes of the parts that are killed")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--folder", help="where to work; a temporary folder by default, which is removed")
    options = parser.parse_args()
    print_machine()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ.setdefault("DUALGAN_CACHE", f"{folder}/cache")
        return 0 if studies(Path(folder), options) else 1


def studies(folder: Path, options: argparse.Namespace) -> bool:
    chance = random.Random(options.seed)
    words = [*RUN.split(), "--model.total_kimg", str(options.kimg), "--data.num_workers", str(options.workers)]
    whole, log = folder / "whole", folder / "whole.operations"
    if Part(folder / "first", words).go():  # renders the images, so that later parts all do the same
        print((folder / "first.log").read_text())
        return False
    started = time.perf_counter()
    code = Part(whole, words, lambda: watch_files(whole, None, log)).go()
    seconds = time.perf_counter() - started
    operations = len(log.read_text().splitlines())
    print(f"whole run: {options.kimg:g} kimg, {seconds:.1f} s, {operations} operations on files, exit code {code}")
    well = code == 0

    def at_operation(run: Path) -> tuple[str, Part]:
        number = chance.randrange(1, operations // 3)
        sabotage = lambda: watch_files(run, number, folder / "killed")  # noqa: E731
        return f"before operation {number}", Part(run, words, sabotage)

    def at_time(run: Path) -> tuple[str, Part]:
        once_begun = chance.random() < 0.75
        after = chance.uniform(0, 0.4) * seconds
        label = f"{after:.2f} s after the {'settings' if once_begun else 'process'}"
        return label, Part(run, words, seconds=after, once_begun=once_begun)

    def at_point(run: Path, point: tuple[str, str, int]) -> tuple[str, Part]:
        return f"{point[0]} {point[1]} ({point[2]})", Part(run, words, lambda: kill_at_point(*point))

    plans: dict[str, Callable[[Path], list[tuple[str, Part]]]] = {
        "times": lambda run: [at_time(run) for _ in range(options.times)],
        "operations": lambda run: [at_operation(run) for _ in range(options.operations)],
        "points": lambda run: [at_point(run, point) for point in POINTS] if options.points else [],
    }
    for name, plan in plans.items():
        if parts := plan(folder / name):
            well &= study(name, whole, folder / name, words, parts)
    return well


if __name__ == "__main__":
    sys.exit(main())
