import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent


def fit_on(ranks: int, folder: Path) -> dict[str, Any]:
    result = folder / f"{ranks}.pt"
    launch = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={ranks}",
    ]
    program = [*launch, "-m", "tests.fit_on_ranks", str(folder / "cache"), str(result)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    loaded: dict[str, Any] = torch.load(result, weights_only=True)
    return loaded


Runs = tuple[dict[str, Any], dict[str, Any]]
every_case = pytest.mark.parametrize("case", ["plain", "attention"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("ranks")
    return fit_on(1, folder), fit_on(2, folder)


# Trap: alternating players under DDP, and gathers that lose or double the gradient.
@every_case
def test_two_ranks_train_exactly_like_one_with_the_whole_batch(case: str, runs: Runs) -> None:
    one, two = (run[case] for run in runs)
    assert one["clock"] == two["clock"] == 32
    assert one["state"].keys() == two["state"].keys()
    for name, value in one["state"].items():
        assert torch.allclose(two["state"][name], value, rtol=1e-4, atol=1e-5), name


@every_case
def test_ranks_hold_the_same_weights_bit_by_bit(case: str, runs: Runs) -> None:
    assert runs[1][case]["ranks_agree"]
