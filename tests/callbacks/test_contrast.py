"""The warning about D's lead."""

import warnings
from collections.abc import Iterator, Sequence

import pytest
import torch

from dualgan.callbacks import MarginWarning
from dualgan.data import Batch
from tests.tiny import tiny_gan, tiny_trainer

BATCH = Batch(torch.zeros(8, 3, 8, 8), None)


def after(margins: Sequence[float], images: int, every: int = 1) -> Iterator[int]:
    """Show the callback a margin per minibatch of `images`; yields the numbers of the minibatches that it warns at."""
    gan, callback, trainer = tiny_gan(), MarginWarning(), tiny_trainer(1, log_every_n_steps=every)
    trainer.strategy.connect(gan)
    for number, margin in enumerate(margins):
        gan.clock += images
        gan.latest["contrast/margin"] = torch.tensor(margin)
        trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total.completed = number + 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            callback.on_train_batch_end(trainer, gan, None, BATCH, number)
        if caught:
            assert "D is far ahead and G learns little" in str(caught[0].message)
            yield number


def test_warns_once_after_a_kimg() -> None:
    assert list(after([6.0] * 20, images=250)) == [4]  # log 8 + 3 = 5.1, from the first one's end on


@pytest.mark.parametrize("low", [5.0, float("nan")])
def test_a_small_margin_in_between_starts_anew(low: float) -> None:
    assert list(after([6.0, 6.0, 6.0, low, *[6.0] * 9], images=250)) == [8]
    assert list(after([5.0] * 20, images=250)) == []


def test_looks_when_values_are_logged_only() -> None:
    assert list(after([5.0, 6.0] * 10, images=250, every=2)) == [5]
    assert list(after([6.0, 5.0] * 10, images=250, every=2)) == []
