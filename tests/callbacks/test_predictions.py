"""What `predict` refuses before it begins."""

from types import SimpleNamespace
from typing import Any

import pytest

from dualgan.callbacks import Predictions
from tests.tiny import tiny_gan


def test_every_process_has_an_image_to_make() -> None:
    two: Any = SimpleNamespace(world_size=2, default_root_dir="run")
    Predictions(num=2, out="new").setup(two, tiny_gan(), "predict")
    with pytest.raises(ValueError, match=r"predictions\.num 1 leaves some of 2 processes without an image"):
        Predictions(num=1).setup(two, tiny_gan(), "predict")
