"""Training with reference attention in the discriminator, next to SAN in the generator."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from dualgan import load_generator
from dualgan.data import SyntheticCLEVR
from dualgan.losses import AdversarialLoss, DualContrastive
from tests.tiny import Noise, attending_gan, tiny_trainer, train
from tests.training.test_gan import ALL_LOSSES, changed, gradients_of_a_step, weights

unstable = pytest.mark.filterwarnings("ignore:DualContrastive with reference attention:UserWarning")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def data(cache: str) -> SyntheticCLEVR:
    return SyntheticCLEVR(num_images=16, resolution=8, batch_size=8, num_renderers=1, num_val=12, cache_dir=cache)


@unstable
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_every_loss_trains_both_players(loss: AdversarialLoss) -> None:
    gan = attending_gan(loss=loss, r2_gamma=0.5, gradient_penalty=10.0, warmup_kimg=0.0)
    before = weights(gan)
    train(gan, steps=3)
    moved = changed(before, gan)
    if loss.shift_invariant:  # the pairs' gradients of the last bias cancel out, maybe to the last bit
        moved.add("discriminator.b4.out.bias")
    for player in ("generator", "discriminator"):
        assert {name for name, _ in getattr(gan, player).named_parameters(prefix=player)} - moved == set()
    assert all(value.isfinite().all() for value in gan.state_dict().values())
    assert all(value.isfinite() for value in gan.latest.values())


@unstable
def test_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    whole, parts = (
        gradients_of_a_step(attending_gan(loss=DualContrastive(), warmup_kimg=0.0, r2_gamma=1.0, micro_batch=size))
        for size in (None, 4)
    )
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6)


@unstable
def test_micro_batches_train_with_the_references_of_their_primaries() -> None:
    gan = attending_gan(loss=DualContrastive(), warmup_kimg=0.0, micro_batch=4)
    train(gan, steps=1, batch=8)
    assert all(value.isfinite() for value in gan.latest.values())


def test_a_resumed_run_equals_the_uninterrupted_one_bit_by_bit(cache: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole, first, second = (attending_gan(d_reg_interval=2) for _ in range(3))
    tiny_trainer(5).fit(whole, datamodule=data(cache))
    trainer = tiny_trainer(3)
    trainer.fit(first, datamodule=data(cache))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    tiny_trainer(5).fit(second, datamodule=data(cache), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert changed(weights(whole), second) == set()
    loaded = load_generator(tmp_path / "a.ckpt")
    assert changed(weights(first.generator_ema), loaded) == set()


def test_validation_and_test_score_with_references(cache: str) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    gan = attending_gan()
    for verb in (trainer.validate, trainer.test):
        (values,) = verb(gan, datamodule=data(cache), verbose=False)
        assert len(values) == 4
        again = verb(gan, datamodule=data(cache), verbose=False)
        assert again == [values]


def test_batches_without_references_are_refused() -> None:
    gan = attending_gan()
    noise = Noise(gan)
    noise.reference = False
    with pytest.raises(ValueError, match=r"needs reference images: pass real ones \[8, 3, 8, 8\]"):
        tiny_trainer(1).fit(gan, DataLoader(noise, batch_size=None))
