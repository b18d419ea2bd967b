"""Ten steps of three configurations, from the command line on: the same losses as ever."""

import json
from pathlib import Path

import pytest
import torch

from tests.training.golden_steps import CONFIGS, GOLDEN, losses

# Elsewhere normal numbers are drawn with other last digits, and ten steps make much of them.
CLOSE = 1e-7 if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") else 2e-2
RECORDED = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("config", CONFIGS)
def test_ten_steps_have_the_recorded_losses(config: str, caches: None, in_empty_folder: Path) -> None:
    torch.set_num_threads(1)
    found, expected = losses(config, in_empty_folder / "run"), RECORDED[config]
    assert len(found) == len(expected) == 10
    for step, (ours, golden) in enumerate(zip(found, expected, strict=True)):
        assert ours == pytest.approx(golden, rel=CLOSE), step
