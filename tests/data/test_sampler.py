import os
import subprocess
import sys
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualgan.data.sampler import InfiniteBatchSampler, epoch_permutation
from tests.conftest import process_environment

ROOT = Path(__file__).parents[2]


def batches(count: int, sampler: InfiniteBatchSampler) -> list[list[int]]:
    return list(islice(sampler, count))


def test_each_image_comes_once_per_epoch() -> None:
    order = list(chain(*batches(5, InfiniteBatchSampler(size=10, batch_size=4))))
    assert sorted(order[:10]) == list(range(10))
    assert sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


@pytest.mark.parametrize("seen", [1, 2, 5])
def test_resumed_sampler_continues_the_same_order(seen: int) -> None:
    whole = batches(8, InfiniteBatchSampler(size=10, batch_size=4, seed=3))
    resumed = batches(8 - seen, InfiniteBatchSampler(size=10, batch_size=4, seed=3, images_seen=4 * seen))
    assert resumed == whole[seen:]


def test_ranks_take_turns_in_the_global_batch() -> None:
    whole = batches(6, InfiniteBatchSampler(size=10, batch_size=8, seed=1, images_seen=24))
    ranks = [batches(6, InfiniteBatchSampler(10, 4, 1, images_seen=24, rank=rank, world_size=2)) for rank in (0, 1)]
    assert ranks[0] == [batch[0::2] for batch in whole]
    assert ranks[1] == [batch[1::2] for batch in whole]


def test_seeds_have_different_orders() -> None:
    assert not np.array_equal(epoch_permutation(0, 0, 100), epoch_permutation(1, 0, 100))


def test_order_never_changes() -> None:
    assert epoch_permutation(0, 0, 8).tolist() == [0, 3, 7, 5, 1, 2, 6, 4]


def test_two_processes_see_each_image_once_per_epoch(tmp_path: Path) -> None:
    reds = {}
    for number in range(12):
        path = tmp_path / "images" / f"kind{number % 3}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(path)
        reds[20 * number] = number % 3
    out = tmp_path / "seen"
    out.mkdir()
    launch = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    steps = 6  # of four images: two epochs
    places = [os.fspath(path) for path in (tmp_path / "images", tmp_path / "cache", out)]
    program = ["-m", "tests.data.load_on_ranks", *places, str(steps)]
    environment = process_environment(PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [*launch, *program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert len(first["seen"]) == len(second["seen"]) == 12
    for epoch in (slice(0, 6), slice(6, 12)):
        assert sorted(first["seen"][epoch] + second["seen"][epoch]) == sorted(reds.items())
    assert first["seen"] != second["seen"]
    assert first["settings"] == {"persistent": True, "pinned": torch.cuda.is_available()}
