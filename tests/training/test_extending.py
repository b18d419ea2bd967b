"""Other networks, augmentations and auxiliary losses train without an edit in the training step."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dualgan import load_generator
from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.losses import AdversarialLoss, DualContrastive
from dualgan.networks import Network, build_network
from dualgan.runtime.imports import ALLOW
from dualgan.weights.checkpoints import read_checkpoint
from tests.cli.test_runs import assert_same_state
from tests.conftest import DATA, RunCLI, words
from tests.tiny import tiny_gan, tiny_trainer, train
from tests.training.test_gan import ALL_LOSSES, changed, gradients_of_a_step, weights
from tests.training.toys import ToyAugmentation, ToyDiscriminator, ToyGenerator, ToyTask

TOYS: dict[str, Any] = {
    "generator": ToyGenerator, "discriminator": ToyDiscriminator, "auxiliary": [ToyTask], "path_length_weight": 0,
    "style_mixing": 0,
}  # fmt: skip


def data(folder: Path) -> SyntheticCLEVR:
    return SyntheticCLEVR(num_images=16, resolution=8, batch_size=8, num_renderers=1, cache_dir=os.fspath(folder))


def toy_gan(**settings: Any) -> GAN:
    return tiny_gan(**{"augmentation": ToyAugmentation(), **TOYS, **settings})


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_all_of_them_train_together_with_every_loss(loss: AdversarialLoss, tmp_path: Path) -> None:
    gan = toy_gan(loss=loss, warmup_kimg=0, num_classes=0, r2_gamma=1.0, gradient_penalty=1.0, d_reg_interval=None)
    before = weights(gan)
    tiny_trainer(5).fit(gan, datamodule=data(tmp_path))
    still = {name for name, value in gan.named_parameters() if torch.equal(value, before[name])}
    # some losses do not look at a shift of all logits
    assert still <= {"discriminator.of_image.bias", "discriminator.of_places.bias"}
    assert gan.augmentation.strength != before["augmentation.strength"]
    (task,) = gan.tasks.each()
    assert task.ages.tolist() == [32] * 8  # type: ignore[operator]
    assert {"loss/toy", "loss/toy/generator", "toy/strength", "loss/r1"} <= gan.latest.keys()
    assert all(value.isfinite() for value in gan.latest.values())


@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_loss_of_several_heads_is_their_mean(num_classes: int) -> None:
    source = "batch" if num_classes else "dataset"
    gan = toy_gan(loss=DualContrastive(), warmup_kimg=0, num_classes=num_classes, auxiliary=None, fake_labels=source)
    seen: list[tuple[Tensor, ...]] = []
    gan.discriminator.register_forward_hook(lambda *call: seen.append(call[2]))
    train(gan, steps=1)
    (r, r_map), (f, f_map) = seen[2:4]  # the first two are those of G's step
    contrast = gan.loss.discriminator
    assert r_map.shape == (8, 4, 4)
    torch.testing.assert_close(gan.latest["loss/discriminator"], (contrast(r, f) + contrast(r_map, f_map)) / 2)
    of_places = torch.stack([contrast(a, b) for a, b in zip(r_map.flatten(1).T, f_map.flatten(1).T, strict=True)])
    torch.testing.assert_close(contrast(r_map, f_map), of_places.mean())  # each place among its likes


def test_passes_that_move_buffers_are_not_repeated() -> None:
    for settings in ({"generator": ToyGenerator}, {"discriminator": ToyDiscriminator}):
        network = next(iter(settings.values())).__name__
        with pytest.raises(ValueError, match=f"micro_batch 4 does not work with {network}: its calls move buffers"):
            tiny_gan(micro_batch=4, path_length_weight=0, style_mixing=0, **settings)


def test_what_needs_a_mapping_network_is_refused_without_one() -> None:
    with pytest.raises(ValueError, match=r"path_length_weight 2.0 and style_mixing 0.9 cannot work with ToyGenerator"):
        tiny_gan(generator=ToyGenerator)
    with pytest.raises(ValueError, match="style_mixing_per_sample true has no effect with style_mixing 0"):
        tiny_gan(style_mixing=0, style_mixing_per_sample=True)
    with pytest.raises(ValueError, match=r"truncation_psi 0.5 has no meaning for ToyGenerator, which has no mapping"):
        ToyGenerator(8)(torch.randn(2, 16), truncation_psi=0.5)


def test_tasks_need_a_trunk_data_and_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"auxiliary has two tasks of one name \(toy, toy\)"):
        toy_gan(auxiliary=[ToyTask, ToyTask])
    with pytest.raises(ValueError, match=r"auxiliary tasks are sized by the data: give Trainer.fit a data module"):
        train(toy_gan(), steps=1)
    monkeypatch.setattr(ToyDiscriminator, "trunk_width", None)
    with pytest.raises(ValueError, match="ToyTask works on the features of D's trunk, and ToyDiscriminator offers"):
        toy_gan()


class Recorded(ToyAugmentation):
    """Notes its draws."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Tensor] = []

    def draw(self, images: Tensor) -> Tensor:
        self.draws.append(super().draw(images).flatten())
        return self.draws[-1].view(-1, 1, 1, 1)


def test_a_micro_batch_that_is_repeated_meets_the_same_augmentation() -> None:
    augmentation = Recorded()
    gradients_of_a_step(tiny_gan(augmentation=augmentation, micro_batch=4))
    first, again = torch.stack(augmentation.draws[:24]).chunk(2)  # of 16 images: four parts with three draws each
    assert torch.equal(first, again)
    assert len({tuple(draw.tolist()) for draw in first}) == 12  # any two draws of a pass are different


def test_penalties_see_through_the_augmentation_of_their_own_stream() -> None:
    augmentation = Recorded()
    gan = toy_gan(augmentation=augmentation, auxiliary=None, r2_gamma=1.0)
    real = torch.zeros(8, 3, 8, 8)
    r1, r2 = (gan.critic.scorer(None, None, name) for name in ("r1, images", "r2, images"))
    for score in (r1, r1, r2):
        score(real)
    first, again, other = augmentation.draws
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


GENERATOR = "tests.training.toys.ToyGenerator"
NETWORKS = words(
    "--model.generator tests.training.toys.ToyGenerator --model.discriminator tests.training.toys.ToyDiscriminator "
    "--model.augmentation tests.training.toys.ToyAugmentation --model.auxiliary+ tests.training.toys.ToyTask "
    "--model.path_length_weight 0 --model.style_mixing 0 --model.loss DualContrastive --model.warmup_kimg 0.03 "
    "--model.d_steps 2 --model.ema_decay 0.9 --model.ema_start_kimg 0.02 --model.d_reg_interval null "
    "--model.generator_adam.learning_rate 0.001 --model.discriminator_adam.betas [0.5,0.9] "
    "--model.r1_gamma Cosine --model.r1_gamma.start 2 --model.r1_gamma.end 0.1 --model.r1_gamma.kimg 0.08"
)


def test_a_killed_run_ends_with_the_bits_of_the_uninterrupted_one(run_cli: RunCLI, in_empty_folder: Path) -> None:
    torch.set_num_threads(1)
    run = (*NETWORKS, *DATA, *words("--model.total_kimg 1 --checkpoints.every_kimg 0.04 --trainer.max_steps 12"))
    whole, killed = in_empty_folder / "whole", in_empty_folder / "killed"
    snapshot = ("--trainer.callbacks", "tests.cli.snapshot.Snapshot", "--trainer.callbacks.out", killed)
    run_cli.succeeds("fit", *run, *snapshot, "--run_dir", whole)
    run_cli.succeeds("fit", *run, "--run_dir", killed, "--ckpt_path", "last")
    assert_same_state(whole / "checkpoints" / "last.ckpt", killed / "checkpoints" / "last.ckpt")
    state = read_checkpoint(whole / "checkpoints" / "last.ckpt")["state_dict"]
    assert int(state["images_seen"]) == 96
    assert {"tasks.0.head.weight", "tasks.0.queue", "tasks.0.ages", "augmentation.strength"} <= state.keys()
    G = load_generator(whole / "checkpoints" / "last.ckpt")
    assert G(torch.randn(2, G.z_dim)).shape == (2, 3, 8, 8)
    assert read_checkpoint(whole / "checkpoints" / "last.ckpt")["dualgan"]["generator"]["class_name"] == GENERATOR
    run_cli.succeeds("export", "--ckpt", "whole/checkpoints/last.ckpt", "--out", "a.safetensors")
    run_cli.succeeds("interpolate", "--ckpt", "a.safetensors", "--seeds", "0-1", "--out", "walk.png")
    run_cli.succeeds("export", "--ckpt", "a.safetensors", "--out", "a.pt2")
    error = run_cli.fails(*words("interpolate --space w --seeds 0-1 --out w.png --ckpt a.safetensors"))
    assert "space w needs a generator with a mapping network, and ToyGenerator has none" in error
    for verb in ("validate", "predict"):  # know nothing of the data that the queue is sized by
        run_cli.succeeds(verb, "--config", "whole/config.yaml", "--predictions.num", 2)


def test_networks_of_other_modules_come_back_where_those_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab_nets.py").write_text(
        "from tests.training.toys import ToyGenerator\n\n\nclass LabGenerator(ToyGenerator):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    description = {"class_name": "lab_nets.LabGenerator", "init_args": {"resolution": 8, "z_dim": 4}}
    with pytest.raises(ValueError, match="name the module in the environment variable DUALGAN_ALLOW_IMPORT"):
        build_network(description)
    monkeypatch.setenv(ALLOW, "tests, lab_nets")
    built = build_network(description)
    assert built.describe()["class_name"] == "lab_nets.LabGenerator"
    assert type(tiny_gan().generator).__name__ in Network.registry  # a name of dualgan's stays dualgan's
    assert Network.registry["StyleGAN2Generator"].__module__.startswith("dualgan.")
    assert not {"Generator", "Discriminator"} & Network.registry.keys()


def test_a_bad_minibatch_does_not_reach_an_augmentation() -> None:
    gan = toy_gan(auxiliary=None)
    train(gan, steps=5, poison=frozenset({2}))
    assert int(gan.divergence.total) == 1
    assert gan.augmentation.get_buffer("strength").isfinite()


def test_in_double_precision_everything_of_a_run_works(run_cli: RunCLI) -> None:
    run_cli.succeeds("fit", *NETWORKS, *DATA, *words("--trainer.precision 64-true --model.total_kimg 0.08"))
    (saved,) = Path("runs").glob("*/checkpoints/last.ckpt")
    state = torch.load(saved, weights_only=True)["state_dict"]
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float64}


def test_the_same_on_a_larger_network_in_micro_batches(tmp_path: Path) -> None:
    torch.set_num_threads(1)

    def gan() -> GAN:
        extras: dict[str, Any] = {"augmentation": ToyAugmentation(), "auxiliary": [partial(ToyTask, weight=0.5)]}
        return tiny_gan(micro_batch=4, d_reg_interval=2, g_reg_interval=None, **extras)

    whole, first, second = gan(), gan(), gan()
    tiny_trainer(5).fit(whole, datamodule=data(tmp_path))
    trainer = tiny_trainer(3)
    trainer.fit(first, datamodule=data(tmp_path))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    tiny_trainer(5).fit(second, datamodule=data(tmp_path), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert changed(weights(whole), second) == set()


def test_steps_of_d_per_step_of_g() -> None:
    gan = toy_gan(d_steps=3, auxiliary=None)
    moved: list[set[str]] = []
    before, advance = weights(gan), gan.advance

    def noted(images: int) -> None:
        moved.append({name.split(".")[0] for name in changed(before, gan) if "bias" in name})
        before.update(weights(gan))
        advance(images)

    gan.advance = noted  # type: ignore[method-assign]
    trainer = train(gan, steps=4)
    both, alone = {"generator", "discriminator", "generator_ema"}, {"discriminator"}
    assert moved == [both, alone, alone, both]
    assert (gan.clock, trainer.global_step) == (32, 4)
