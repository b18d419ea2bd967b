"""How many of a thousand modes does each loss reach, and how evenly?

Like StackedMNIST (Metz et al., ICLR 2017; Srivastava et al., NeurIPS 2017), but small: an image is three of
scikit-learn's 8x8 digits, one in each colour, so that there are 1,000 modes. Trains GAN + R1, RpGAN + R1 + R2 and the
dual contrastive loss + R1 + R2 with the same small R3GAN networks, lets a classifier of the digits tell the mode of
generated images, and prints how many modes there are and the divergence KL(generated || uniform), in nats. The
training images are scored as well: no generator does better than they do but by chance.

R1 and R2 are `--gamma` for the first two and 4 N / (N + 1) times that for the dual contrastive loss, whose gradient at
chance is so many times larger for N images a batch. Runs that are there go on where they stopped, bit by bit, so that
the study can be made in as many sittings as it takes: after `--hours` nothing goes on beyond its next score.

    python benchmarks/mode_coverage.py --out STUDY --hours 1        # again, until nothing is left
"""

import argparse
import json
import math
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from machine import print_machine
from numpy.typing import NDArray
from pytorch_lightning import Trainer
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from dualgan.data import ImageDataModule
from dualgan.files.atomic import digest, write_json
from dualgan.gan import GAN
from dualgan.losses import AdversarialLoss, DualContrastive, NonSaturating, RelativisticPairing
from dualgan.networks import R3GANDiscriminator, R3GANGenerator
from dualgan.networks.sampling import generate
from dualgan.weights.checkpoints import read_checkpoint

MODES, SIZE, BRIGHTEST = 1000, 8, 16  # of scikit-learn's digits: pixels from 0 to 16


class Method(NamedTuple):
    """A loss, and which penalties are with it."""

    title: str
    loss: Callable[[], AdversarialLoss]
    r2: bool


METHODS = {
    "gan_r1": Method("GAN + R1", NonSaturating, False),
    "gan_r1_r2": Method("GAN + R1 + R2", NonSaturating, True),
    "rpgan_r1": Method("RpGAN + R1", RelativisticPairing, False),
    "rpgan_r1_r2": Method("RpGAN + R1 + R2", RelativisticPairing, True),
    "contrast_r1": Method("Dual contrast + R1", DualContrastive, False),
    "contrast_r1_r2": Method("Dual contrast + R1 + R2", DualContrastive, True),
}
ASKED = ("gan_r1", "rpgan_r1_r2", "contrast_r1_r2")


class Settings(NamedTuple):
    """What all runs of a study have in common."""

    kimg: float
    batch: int
    width: int
    learning_rate: float
    gamma: float
    num_fake: int
    scores: int


class Run(NamedTuple):
    """One training."""

    method: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.method}_seed{self.seed}"


# --- the images ------------------------------------------------------------------------------------------------------


@cache
def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Digits [1797, 8, 8] from 0 to 255, and which they are."""
    found = load_digits()
    return np.round(found.images * (255 / BRIGHTEST)).astype(np.uint8), found.target.astype(np.int64)


class Stacked:
    """Images whose colours are digits of their own, drawn uniformly; image i is the same whatever their number."""

    num_channels = 3
    labels = names = resize_filter = crop = None
    class_names: tuple[str, ...] = ()

    def __init__(self, count: int) -> None:
        self.chosen = np.random.default_rng(0).integers(len(digits()[0]), size=(count, 3))
        self.fingerprint = digest({"stacked digits": count})

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(digits()[0][self.chosen[indices]].transpose(0, 2, 3, 1))


class StackedDigits(ImageDataModule, registered=False):
    """Stacked digits in memory."""

    def __init__(self, num_images: int = 60_000, **settings: Any) -> None:
        super().__init__(SIZE, **settings)
        self.num_images = num_images

    def _open(self) -> Stacked:
        return Stacked(self.num_images)


# --- the scores ------------------------------------------------------------------------------------------------------


@cache
def classifier() -> tuple[SVC, float]:
    """Support vector machine of three quarters of the digits, and its accuracy on the others."""
    images, labels = digits()
    rows = images.reshape(len(images), -1) / 255
    shown, hidden, of_shown, of_hidden = train_test_split(rows, labels, test_size=0.25, random_state=0, stratify=labels)
    machine = SVC(C=10, gamma="scale").fit(shown, of_shown)
    return machine, float(machine.score(hidden, of_hidden))


def modes(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Mode of each image [N, 8, 8, 3]: its digits, red ones as hundreds."""
    rows = images.transpose(0, 3, 1, 2).reshape(-1, SIZE * SIZE) / 255
    found = classifier()[0].predict(rows).reshape(-1, 3)
    return np.asarray(found @ [100, 10, 1], np.int64)


# KL(p || uniform) = sum_k p_k log(1000 p_k), p_k the part of the images in mode k
def coverage(found: NDArray[np.int64]) -> dict[str, float]:
    """Number of modes among those of N images, and how far these are from uniform."""
    counts = np.bincount(found, minlength=MODES)
    parts = counts[counts > 0] / len(found)
    return {"modes": int((counts > 0).sum()), "kl": float((parts * np.log(MODES * parts)).sum())}


def score(gan: GAN, num_fake: int) -> dict[str, float]:
    """Coverage of the averaged generator."""
    batches = generate(gan.generator_ema, range(num_fake), batch_size=512, noise_mode="const")
    return coverage(np.concatenate([modes(batch.numpy()) for batch in batches]))


# --- the trainings ---------------------------------------------------------------------------------------------------


def build(run: Run, settings: Settings) -> GAN:
    """The networks and their training: R1, and R2 where there is one, in every step of D."""
    method = METHODS[run.method]
    scale = 4 * settings.batch / (settings.batch + 1) if method.loss is DualContrastive else 1.0
    widths: dict[str, Any] = {"channel_max": settings.width, "group_width": min(16, 2 * settings.width)}
    return GAN(
        SIZE, generator=partial(R3GANGenerator, **widths), discriminator=partial(R3GANDiscriminator, **widths),
        loss=method.loss(), total_kimg=settings.kimg, learning_rate=settings.learning_rate,
        r1_gamma=settings.gamma * scale, r2_gamma=settings.gamma * scale if method.r2 else 0.0, d_reg_interval=None,
        path_length_weight=0, style_mixing=0, ema_kimg=settings.kimg / 50, ema_rampup=0.05, warmup_kimg=None
        if method.loss is not DualContrastive else 0, seed=run.seed,
    )  # fmt: skip


def train(run: Run, settings: Settings, out: Path, deadline: float) -> list[dict[str, float]]:
    """Train a run or go on with it, saved and scored `settings.scores` times; the rows of its scores so far."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*(many workers|val_dataloader|max_epochs|eval mode at the start).*")
    steps = math.ceil(settings.kimg * 1000 / settings.batch)
    ends = [math.ceil(steps * (k + 1) / settings.scores) for k in range(settings.scores)]
    ckpt, scores = out / f"{run.name}.ckpt", out / f"{run.name}.json"
    rows: list[dict[str, float]] = json.loads(scores.read_text()) if scores.is_file() else []
    while len(rows) < len(ends) and time.time() < deadline:
        gan, data = build(run, settings), StackedDigits(batch_size=settings.batch, seed=run.seed)
        trainer = Trainer(
            max_steps=ends[len(rows)], max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, limit_val_batches=0,
        )  # fmt: skip
        saved = ckpt if ckpt.is_file() else None
        before = 0 if saved is None else int(read_checkpoint(saved)["state_dict"]["images_seen"])
        start = time.process_time()  # other processes do not count
        trainer.fit(gan, datamodule=data, ckpt_path=saved, weights_only=True)
        seconds = time.process_time() - start
        row = {"kimg": gan.clock / 1000, "seconds_per_kimg": 1000 * seconds / (gan.clock - before)}
        rows.append(row | score(gan, settings.num_fake))
        trainer.save_checkpoint(ckpt.with_suffix(".new"))
        write_json(scores, rows)
        ckpt.with_suffix(".new").replace(ckpt)
    return rows


# --- the table -------------------------------------------------------------------------------------------------------


def spread(values: Sequence[float], form: str) -> str:
    """Mean of some values, and half of their range where there are several."""
    mean = format(statistics.mean(values), form)
    return f"{mean} ± {format((max(values) - min(values)) / 2, form)}" if len(values) > 1 else mean


def table(results: dict[str, list[dict[str, float]]], real: dict[str, float]) -> str:
    """Scores of every method over its seeds, in Markdown."""
    lines = ["| Method | kimg | Seeds | Modes | KL | CPU s per kimg |", "|:--|--:|--:|--:|--:|--:|"]
    lines.append(f"| training images | - | - | {real['modes']} | {real['kl']:.3f} | - |")
    for (method, kimg), found in sorted(((key.split("@"), rows) for key, rows in results.items()), key=_order):
        cells = (spread([row[name] for row in found], form) for name, form in COLUMNS)
        lines.append(f"| {METHODS[method].title} | {kimg} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


COLUMNS = (("modes", ".0f"), ("kl", ".3f"), ("seconds_per_kimg", ".2f"))


def _order(row: tuple[list[str], Any]) -> tuple[int, float]:
    return list(METHODS).index(row[0][0]), float(row[0][1])


def main() -> None:
    """Train, score, and print what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and scores")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=ASKED)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--kimg", type=float, default=500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=48, help="channels between blocks")
    parser.add_argument("--learning_rate", type=float, default=5e-4)
    parser.add_argument("--gamma", type=float, default=1.0)
    parser.add_argument("--num_fake", type=int, default=26_000, help="generated images to score")
    parser.add_argument("--scores", type=int, default=4, help="times that a run is saved and scored")
    parser.add_argument("--hours", type=float, default=math.inf, help="end every run at its next score after this time")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="runs at a time, each on one thread")
    words = vars(parser.parse_args())
    print_machine()
    settings = Settings(**{name: words[name] for name in Settings._fields})
    out: Path = words["out"]
    out.mkdir(parents=True, exist_ok=True)
    same = out / "settings.json"
    if same.is_file() and json.loads(same.read_text()) != settings._asdict():
        parser.error(f"{same} is of other settings: take another folder, or the same ones: {same.read_text()}")
    same.write_text(json.dumps(settings._asdict()))
    runs = [Run(method, seed) for seed in words["seeds"] for method in words["methods"]]
    deadline = time.time() + 3600 * words["hours"]
    work = partial(train, settings=settings, out=out, deadline=deadline)
    if words["workers"] == 1:
        found = [work(run) for run in runs]
    else:
        with ProcessPoolExecutor(words["workers"], multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(work, runs))
    results: dict[str, list[dict[str, float]]] = {}
    for run, rows in zip(runs, found, strict=True):
        for row in rows:
            results.setdefault(f"{run.method}@{row['kimg']:g}", []).append(row)
    print(f"The classifier is right about {100 * classifier()[1]:.1f} % of the digits that it was not shown.")
    print(table(results, coverage(modes(Stacked(settings.num_fake).read(np.arange(settings.num_fake))))))
    left = [run.name for run, rows in zip(runs, found, strict=True) if len(rows) < settings.scores]
    print(f"Left: {', '.join(left)}. The same command goes on." if left else "Nothing is left.")


if __name__ == "__main__":
    main()
