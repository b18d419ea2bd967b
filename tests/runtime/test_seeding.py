import random

import numpy as np
import pytest
import torch

from dualgan.runtime.seeding import mix_seed, reseed


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_reseeding_repeats_every_generator() -> None:
    reseed(1, 0, 32, "fakes")
    first = draws()
    draws()
    reseed(1, 0, 32, "fakes")
    assert draws() == first


def test_every_part_of_the_seed_and_its_place_counts() -> None:
    seeds = [(1, 0, 32), (0, 1, 32), (1, 0, 33), (1, 0, 32, "fakes"), (1, 0, 32, "generator"), (10, 32)]
    assert len({mix_seed(*seed) for seed in seeds}) == len(seeds)
    assert all(0 <= mix_seed(*seed) < 2**63 for seed in seeds)


def test_seeds_are_the_same_on_every_machine() -> None:
    assert mix_seed(0, 0, 0, "weights") == 4720576000945095275


def test_reseeding_leaves_nothing_behind() -> None:
    before = len(torch.cuda._queued_calls)
    for clock in range(5):
        reseed(0, clock)
    assert len(torch.cuda._queued_calls) == before


def test_apple_gpus_are_seeded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    for _ in range(2):
        reseed(1, 0, 32, "fakes")
    assert seeds == [mix_seed(1, 0, 32, "fakes")] * 2
