"""What does each method do for 100 images?

Trains `lfw100.yaml`, 100 gray faces at 32x32 that come with scikit-image, with every method and seed, for the same
number of images, and scores the averaged generators: Frechet and kernel distance, precision and recall against the
100 faces, path length in w, and how near generated images come to the faces. Runs that are there go on where they
stopped, finished ones are not repeated, so that the study can be made in as many sittings as it takes: `--hours` stops
all runs, saved, after that time and says what is left. Options that are not listed below are those of `dualgan fit`.

    python benchmarks/limited_data_study.py --out STUDY --hours 2        # again, until nothing is left
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

METHODS = ("none", "ada", "ada_linear", "diffaugment", "apa", "instance_real", "instance_fake", "insgen", "fakeclr")
STOPPED = 143  # exit code of a training that SIGTERM has stopped, saved
METRICS = ("fid", "kid", "pr", "ppl")


class Run(NamedTuple):
    """One training."""

    method: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.method}_seed{self.seed}"


def dualgan(words: Sequence[object], log: Path, deadline: float = float("inf")) -> int:
    """Run a command on one thread; at the deadline it is asked to stop. Returns its exit code."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "dualgan", *map(str, words)], stdout=file, stderr=subprocess.STDOUT, env=environment
        )
        try:
            return process.wait(max(0.0, deadline - time.monotonic()) if deadline < float("inf") else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            return process.wait()


def train(run: Run, out: Path, extra: Sequence[str], deadline: float) -> bool:
    """Train a run or go on with it; returns whether it is finished."""
    if time.monotonic() >= deadline:
        return False
    overlay = [] if run.method == "none" else ["--config", f"{run.method}.yaml"]
    words = ["fit", "--config", "lfw100.yaml", *overlay, "--run_dir", out / run.name, "--ckpt_path", "auto"]
    words += ["--seed_everything", run.seed, "--wandb.mode", "disabled", *extra]
    code = dualgan(words, out / f"{run.name}.log", deadline)
    if code not in (0, STOPPED):
        raise RuntimeError(f"{run.name} has failed: see {out / f'{run.name}.log'}")
    return code == 0


def score(run: Run, out: Path, num_fake: int) -> dict[str, float]:
    """Scores of a finished run, measured once."""
    scores, near = out / f"{run.name}.json", out / f"{run.name}.near.json"
    ckpt = out / run.name / "checkpoints" / "last.ckpt"
    log = out / f"{run.name}.log"
    if not scores.is_file():
        words = ["evaluate", "--ckpt", ckpt, "--metrics", *METRICS, "--num_fake", num_fake, "--out", scores]
        if dualgan(words, log):
            raise RuntimeError(f"{run.name} cannot be scored: see {log}")
    if not near.is_file():
        words = ["neighbors", "--ckpt", ckpt, "--seeds", "0-31", "--k", 1, "--out", near.with_suffix(".png")]
        if dualgan(words, log):
            raise RuntimeError(f"{run.name} has no nearest images: see {log}")
    spaces = json.loads(near.read_text())["spaces"]
    distances = {
        f"nearest_{space}": statistics.mean(row["nearest"][0]["distance"] for row in found["neighbors"])
        for space, found in spaces.items()
    }
    values = json.loads(scores.read_text())
    return {name: value for name, value in values.items() if isinstance(value, float)} | distances


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Mean and half of the spread over the seeds of each method, in Markdown."""
    names = [name for name in next(iter(results.values()))[0] if name != "kimg"]
    lines = [f"| Method | {' | '.join(names)} |", f"|:--|{'--:|' * len(names)}"]
    for method, found in results.items():
        cells = []
        for name in names:
            values = [one[name] for one in found]
            spread = f" ± {(max(values) - min(values)) / 2:.2g}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.4g}{spread}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train, score, and print what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of results.json")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--hours", type=float, default=float("inf"), help="stop all runs after this time, saved")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="runs at a time, each on one thread")
    parser.add_argument("--num_fake", type=int, default=5000, help="generated images to score")
    arguments, of_fit = parser.parse_known_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 3600 * arguments.hours
    runs = [Run(method, seed) for seed in arguments.seeds for method in arguments.methods]
    with ThreadPoolExecutor(arguments.workers) as pool:
        finished = list(pool.map(lambda run: train(run, arguments.out, of_fit, deadline), runs))
        done = [run for run, whole in zip(runs, finished, strict=True) if whole]
        scored = list(pool.map(lambda run: score(run, arguments.out, arguments.num_fake), done))
    results: dict[str, list[dict[str, float]]] = {}
    for run, values in zip(done, scored, strict=True):
        results.setdefault(run.method, []).append(values)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1))
    if results:
        print(table(results))
    left = [run.name for run in runs if run not in done]
    print(f"Left: {', '.join(left)}. The same command goes on." if left else "Nothing is left.")


if __name__ == "__main__":
    main()
