"""Small folders of runs."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from dualgan.cli.lightning import parse_fit
from dualgan.terminal.configs import resolve_configs

MakeRun = Callable[..., Path]

PROVENANCE = {"extractor": "efficientnet_lite0", "num_fake": 2000, "num_real": 2000, "ema": True, "truncation_psi": 1.0}
ROWS = [
    {"kimg": 0.0, "metrics/fd_efficientnet_lite0": 851.5054919907689, "step": 0},
    {"kimg": 0.4, "loss/generator": 1.0605, "contrast/margin": -3.5, "step": 49},
    {"kimg": 0.8, "loss/generator": 1.1712, "contrast/margin": 2.25, "step": 99},
    {"kimg": 1.0, "metrics/fd_efficientnet_lite0": 208.62763546830786, "step": 120},
    {"kimg": 1.2, "loss/generator": float("nan"), "contrast/margin": 4.4, "step": 149},
    {"kimg": 2.0, "metrics/fd_efficientnet_lite0": 300.12345678901234, "step": 200},
]


def write_csv(path: Path, rows: list[dict[str, float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)


def write_records(path: Path, rows: list[dict[str, float]], provenance: dict[str, Any]) -> None:
    with path.open("w") as file:
        for row in rows:
            scores = {k.removeprefix("metrics/"): v for k, v in row.items() if k.startswith("metrics/")}
            if scores:
                record = {"kimg": row["kimg"], "verb": "fit", **scores, "provenance": provenance}
                file.write(json.dumps(record) + "\n")


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run's folder: rows of metrics.csv, settings, provenance, and grids of samples of one colour each."""

    def make(
        name: str = "run",
        rows: list[dict[str, float]] | None = None,
        config: dict[str, Any] | None = None,
        provenance: dict[str, Any] | None = None,
        samples: int = 3,
    ) -> Path:
        folder = tmp_path / name
        (folder / "samples").mkdir(parents=True)
        rows = ROWS if rows is None else rows
        write_csv(folder / "metrics.csv", rows)
        write_records(folder / "metrics.jsonl", rows, PROVENANCE | (provenance or {}))
        settings = (
            {"model": {"total_kimg": 2.0}, "data": {"init_args": {"resolution": 32}}} if config is None else config
        )
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        for k in range(samples):
            pixels = np.full((64, 96, 3), (200, 40, 40 * k), np.uint8)
            Image.fromarray(pixels).save(folder / "samples" / f"kimg_{k:09.3f}.png")
        return folder

    return make


def parsed(*configs: str) -> dict[str, Any]:
    """What a run with shipped configurations writes into its config.yaml."""
    words = [word for config in configs for word in ("--config", config)]
    settings: dict[str, Any] = parse_fit(resolve_configs(words)).as_dict()
    del settings["config"]  # the files' own paths, which a run does not keep
    return settings
