"""Scores during training: how much they look at, what is said of them, and whose time they take."""

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from dualgan.callbacks import pictures, quality
from dualgan.cli.main import main
from dualgan.evaluation import evaluate
from dualgan.metrics import FeatureExtractor
from dualgan.pictures.grids import png
from dualgan.runs.retention import WholeFiles
from tests.conftest import QUIET, TINY, RunCLI, words

LATE = 0.2  # seconds


class Coarse(FeatureExtractor):
    """Coarse pixels as features."""

    name, dim, weight_hash = "coarse", 12, "0123456789abcdef"

    def features(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch, run_cli: RunCLI) -> None:
    monkeypatch.setattr(quality, "find_extractor", lambda name, weights: Coarse())


def records(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def fit(*more: object) -> int:
    """Train without the small evaluations that other tests ask for."""
    quiet = [word for word in QUIET if word not in ("--quality.num_fake", "8")]
    return main(["fit", *quiet, *map(str, more)])


def test_a_small_set_is_measured_by_as_many_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(*TINY, "--run_dir", "run") == 0
    out = capsys.readouterr().out
    assert "Quality: 16 generated against 16 real images, before and after the training (as the set and the len" in out
    assert "--quality.num_fake, --quality.num_real, --quality.every_kimg set it" in out
    found = records("run")
    assert [record["kimg"] for record in found] == [0, 0.016]
    assert {(record["provenance"]["num_fake"], record["provenance"]["num_real"]) for record in found} == {(16, 16)}


def test_settings_win_and_few_images_are_said_beside_the_number(run_cli: RunCLI) -> None:
    out = run_cli.succeeds("fit", *TINY, *words("--run_dir run --quality.num_fake 10 --quality.every_kimg 0.008"))
    assert "Quality: 10 generated against 16 real images, before, every 0.008 kimg and after the training." in out
    found = records("run")
    assert [record["kimg"] for record in found] == [0, 0.008, 0.016]
    note = "10 generated images and 16 real images: below 1,000 it means little (estimates"
    assert all(record["notes"]["kd_coarse"].startswith(note) for record in found)
    assert out.count(f"kd_coarse: {note}") == 1
    line = next(line for line in out.splitlines() if line.startswith("0.016 kimg: "))
    shown = line.split("kd_coarse ")[1].removesuffix(" from few images (00:00)")
    assert float(shown) == float(f"{found[-1]['kd_coarse']:.2g}")
    summary = next(line for line in out.splitlines() if line.startswith("fd_coarse: ") and "at 0.016 kimg" in line)
    first, last = (float(f"{record['fd_coarse']:.2g}") for record in (found[0], found[-1]))
    assert summary.startswith(f"fd_coarse: {first:g} at 0 kimg, {last:g} at 0.016 kimg")
    assert "10 generated images: below 12 it means little" in summary


def test_a_longer_training_goes_on_measuring_what_it_began_with() -> None:
    longer = ("--config", "run/config.yaml", "--ckpt_path", "last", "--model.total_kimg")
    assert fit(*TINY, "--data.num_images", 400, "--run_dir", "run") == 0
    assert fit(*longer, 0.024) == 0
    counts = [(record["provenance"]["num_fake"], record["provenance"]["num_real"]) for record in records("run")]
    assert len(counts) == 3
    assert set(counts) == {(250, 250)}
    assert fit(*longer, 0.032, "--quality.num_real", 300) == 0
    assert records("run")[-1]["provenance"]["num_real"] == 300


def slow(function: Callable[..., Any]) -> Callable[..., Any]:
    def later(*args: Any, **settings: Any) -> Any:
        time.sleep(LATE)
        return function(*args, **settings)

    return later


def test_images_per_second_count_training_alone(run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "evaluate", slow(evaluate))
    monkeypatch.setattr(pictures, "png", slow(png))
    monkeypatch.setattr(WholeFiles, "save_checkpoint", slow(WholeFiles.save_checkpoint))
    often = [f"--{part}.every_kimg=0.008" for part in ("quality", "samples", "checkpoints")]
    start = time.perf_counter()
    out = run_cli.succeeds("fit", *TINY, "--model.total_kimg", 0.04, "--run_dir", "run", *often)
    took = time.perf_counter() - start
    with Path("run/speed.csv").open() as file:
        speed = float(list(csv.DictReader(file))[-1]["train/images_per_second"])
    late = 5 * 3 * LATE  # five steps, with all three of them after each
    assert 40 / speed < took - late
    line = [line for line in out.splitlines() if line.startswith("Training: ")][-1]
    assert line == f"Training: 0.04/0.04 kimg, {speed:.1f} images/s, 00:00 left"
    assert "Evaluations, pictures and checkpoints took 00:" in out
