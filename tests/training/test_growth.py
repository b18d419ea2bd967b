"""Progressive growing in a training: what follows the clock, what starts anew, and what files hold."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan import load_generator
from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.networks import StyleGAN2Discriminator
from dualgan.training.schedule import Steps
from dualgan.weights.checkpoints import read_checkpoint
from tests.cli.test_runs import assert_same_state
from tests.conftest import DATA, RunCLI, words
from tests.tiny import WIDTH, discriminator, first_discriminator, first_generator, tiny_gan, tiny_trainer, train
from tests.training.test_gan import changed, weights

# Batches of 8: 4x4 in steps 0 and 1, a fade in step 2, 8x8 in steps 3 and 4, a fade in step 5, 16x16 from step 6 on
TIMES: dict[str, Any] = {"grow_from": 4, "level_kimg": 0.008, "fade_kimg": 0.016}
SIZES = [(4, False), (4, False), (8, True), (8, False), (8, False), (16, True), (16, False), (16, False)]


def growing_gan(**settings: Any) -> GAN:
    players = {
        "generator": partial(first_generator, **TIMES),
        "discriminator": partial(first_discriminator, **TIMES),
        "path_length_weight": 0,
        "d_reg_interval": None,
    }
    return tiny_gan(16, **{**players, **settings})


def layers(gan: GAN) -> list[tuple[int, bool]]:
    return [network.growing.layers for network in gan.networks() if network.growing is not None]


class Followed(GAN):
    """Notes what there was in every step."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.sizes: list[list[tuple[int, bool]]] = []
        self.adam_steps: list[tuple[int, ...]] = []
        self.rates: list[float] = []
        self.seen: list[Tensor] = []
        self.discriminator.register_forward_pre_hook(lambda module, images: self.seen.append(images[0].detach()))

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.clear()
        super().training_step(batch, batch_idx)
        self.sizes.append(layers(self))
        self.adam_steps.append(tuple(int(next(iter(adam.state.values()))["step"]) for adam in self.trainer.optimizers))
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])


def followed(**settings: Any) -> Followed:
    plain = growing_gan()
    times = {"learning_rate": Steps([0.001, 0.002], [0.04]), "total_kimg": 1.0, "r1_gamma": 1.0, **settings}
    return Followed(
        16, generator=partial(first_generator, **TIMES), discriminator=partial(first_discriminator, **TIMES),
        path_length_weight=0, d_reg_interval=None, **times, seed=plain.seed,
    )  # fmt: skip


def test_all_networks_follow_the_clock_and_adam_starts_anew_with_every_set_of_layers() -> None:
    gan = followed()
    train(gan, steps=8)
    assert gan.sizes == [[size] * 3 for size in SIZES]
    # 4x4 twice, then a fade, 8x8 twice, a fade, 16x16 twice
    assert gan.adam_steps == [(k, k) for k in (1, 2, 1, 1, 2, 1, 1, 2)]
    assert gan.rates == [0.001] * 5 + [0.002] * 3


def test_layers_that_are_not_there_yet_stay_as_they_are() -> None:
    gan = growing_gan()
    before = weights(gan)
    train(gan, steps=1)
    moved = changed(before, gan)
    assert {"generator.synthesis.b4.torgb.weight", "discriminator.b4.fromrgb.weight"} <= moved
    assert not {name for name in moved if ".b8." in name or ".b16." in name}
    train(gan, steps=8)
    moved = changed(before, gan)
    still = {name for name, _ in gan.named_parameters() if name not in moved}
    assert not {name for name in still if not name.startswith("generator_ema")}


def test_the_discriminator_sees_real_images_in_the_detail_of_generated_ones() -> None:
    gan = followed()
    for steps, size in ((1, 4), (4, 8), (8, 16)):
        train(gan, steps=steps)
        assert layers(gan)[0] == (size, False)
        for images in gan.seen:
            pooled = F.avg_pool2d(images, 16 // size)
            torch.testing.assert_close(images, F.interpolate(pooled, scale_factor=16 // size))


def test_penalties_in_steps_of_their_own_path_length_and_micro_batches_work_while_growing() -> None:
    gan = growing_gan(path_length_weight=2, d_reg_interval=2, g_reg_interval=2, micro_batch=4, r2_gamma=1.0)
    train(gan, steps=8)
    assert layers(gan) == [(16, False)] * 3
    assert all(value.isfinite() for value in gan.latest.values())


def test_bfloat16_goes_through_all_levels() -> None:
    gan = growing_gan()
    train(gan, steps=7, precision="bf16-mixed")
    assert layers(gan) == [(16, False)] * 3
    assert all(value.isfinite() for value in gan.latest.values())


def data(folder: Path) -> SyntheticCLEVR:
    cache = os.fspath(folder)
    return SyntheticCLEVR(num_images=16, resolution=16, batch_size=8, num_renderers=1, cache_dir=cache)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GAN]:
    """A run of eight steps, with a checkpoint after each."""
    folder = tmp_path_factory.mktemp("growing")
    gan = growing_gan()
    for steps in range(1, 9):
        run, before = growing_gan(), folder / f"{steps - 1}.ckpt"
        tiny = tiny_trainer(steps)
        tiny.fit(run, datamodule=data(folder), ckpt_path=before if steps > 1 else None, weights_only=True)
        tiny.save_checkpoint(folder / f"{steps}.ckpt")
    tiny_trainer(8).fit(gan, datamodule=data(folder))
    return folder, gan


def test_a_run_that_is_resumed_after_every_step_has_the_bits_of_the_uninterrupted_one(whole: tuple[Path, GAN]) -> None:
    folder, gan = whole
    resumed = read_checkpoint(folder / "8.ckpt")
    state = gan.state_dict()
    assert resumed["state_dict"].keys() == state.keys()
    assert [name for name, value in state.items() if not torch.equal(value, resumed["state_dict"][name])] == []
    for own, saved in zip(gan.trainer.optimizers, resumed["optimizer_states"], strict=True):
        for moments, again in zip(own.state.values(), saved["state"].values(), strict=True):
            assert all(torch.equal(moments[name], again[name]) for name in moments)


@torch.no_grad()
def test_files_hold_the_level(whole: tuple[Path, GAN], run_cli: RunCLI, in_empty_folder: Path) -> None:
    for steps, (resolution, fading) in enumerate(SIZES, start=1):
        path = whole[0] / f"{steps}.ckpt"
        run_cli.succeeds("export", "--ckpt", path, "--out", f"{steps}.safetensors")
        images = []
        for file in (path, Path(f"{steps}.safetensors")):
            G = load_generator(file)
            assert G.growing is not None
            assert tuple(G.growing.layers) == (resolution, fading)
            images.append(G(torch.ones(1, G.z_dim), noise_mode="const"))
        assert torch.equal(*images)
        factor = 16 // resolution
        assert torch.equal(images[0], F.interpolate(images[0][..., ::factor, ::factor], scale_factor=factor))
    command = words("generate --ckpt 3.safetensors --seeds 0-3 --out images")
    run_cli.succeeds(*command)
    assert len(list(Path("images").glob("*.png"))) == 4


GROWING = words(
    "--model.generator StyleGANGenerator --model.generator.z_dim 16 --model.generator.w_dim 16 "
    "--model.generator.mapping_layers 2 --model.generator.channel_base 128 --model.generator.channel_max 16 "
    "--model.discriminator StyleGANDiscriminator --model.discriminator.channel_base 128 "
    "--model.discriminator.channel_max 16 --model.path_length_weight 0 --model.d_reg_interval null "
    "--model.learning_rate Steps --model.learning_rate.values [0.001,0.002] --model.learning_rate.at_kimg [0.03]"
) + [
    str(word)
    for player in ("generator", "discriminator")
    for name, value in TIMES.items()
    for word in (f"--model.{player}.{name}", value)
]


def test_a_killed_run_ends_with_the_bits_of_the_uninterrupted_one(run_cli: RunCLI, in_empty_folder: Path) -> None:
    torch.set_num_threads(1)
    sizes = "--data.resolution 16 --model.total_kimg 1 --checkpoints.every_kimg 0.016 --trainer.max_steps 8"
    run = (*GROWING, *DATA, *words(sizes))
    whole, killed = in_empty_folder / "whole", in_empty_folder / "killed"
    callback = words("--trainer.callbacks tests.cli.snapshot.Snapshot --trainer.callbacks.step 3")
    snapshot = (*callback, "--trainer.callbacks.out", killed)
    run_cli.succeeds("fit", *run, *snapshot, "--run_dir", whole)
    run_cli.succeeds("fit", *run, "--run_dir", killed, "--ckpt_path", "last")
    assert_same_state(whole / "checkpoints" / "last.ckpt", killed / "checkpoints" / "last.ckpt")


def test_players_that_do_not_grow_alike_are_refused() -> None:
    others = (
        first_discriminator,
        partial(first_discriminator, **{**TIMES, "fade_kimg": 0.008}),
        partial(discriminator),
    )
    for other in others:
        with pytest.raises(ValueError, match="give both the same grow_from, level_kimg and fade_kimg, or neither"):
            growing_gan(discriminator=other)
    with pytest.raises(
        ValueError, match=r"does not grow, and the discriminator grows from 4 to 16, 0\.008 kimg a level"
    ):
        growing_gan(generator=first_generator)
    assert StyleGAN2Discriminator(8, **WIDTH).growing is None


def test_a_training_that_ends_before_the_last_level_says_so() -> None:
    gan = growing_gan(total_kimg=0.04)
    with pytest.warns(UserWarning, match=r"growing to 16x16 takes 0.048 kimg.*total_kimg 0.04: it ends at 16x16, 50%"):
        train(gan, steps=1)
    gan = growing_gan(total_kimg=0.024)
    with pytest.warns(UserWarning, match=r"it ends at 8x8\. Shorten level_kimg and fade_kimg too"):
        train(gan, steps=1)
