"""Instance discrimination in a training."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.augment import ADA
from dualgan.auxiliary import InstanceDiscrimination
from dualgan.auxiliary.contrast import info_nce
from dualgan.auxiliary.method import PRESETS
from dualgan.auxiliary.queue import KeyQueue, whole_batch
from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.losses import DualContrastive
from dualgan.weights.checkpoints import read_checkpoint
from tests.cli.test_runs import assert_same_state
from tests.conftest import DATA, RunCLI, words
from tests.tiny import attending_gan, discriminator, tiny_gan, tiny_trainer
from tests.training.test_extending import data
from tests.training.test_gan import ALL_LOSSES, weights
from tests.training.toys import ToyDiscriminator

SMALL: dict[str, Any] = {"hidden": 8, "width": 4}


def instance(preset: Any = "fakeclr", **settings: Any) -> Any:
    return partial(InstanceDiscrimination, preset=preset, **SMALL, **settings)


def fit(gan: GAN, folder: Path, steps: int = 3) -> InstanceDiscrimination:
    tiny_trainer(steps).fit(gan, datamodule=data(folder))
    (task,) = gan.tasks.each()
    assert isinstance(task, InstanceDiscrimination)
    return task


@pytest.mark.parametrize("preset", PRESETS)
def test_every_member_trains_heads_and_both_players(preset: Any, tmp_path: Path) -> None:
    with_it = tiny_gan(auxiliary=[instance(preset)], augmentation=ADA(p=0.5))
    without = tiny_gan(augmentation=ADA(p=0.5))
    before = weights(with_it)
    task = fit(with_it, tmp_path)
    tiny_trainer(3).fit(without, datamodule=data(tmp_path))
    moved = {
        name for name, value in weights(with_it).items() if name in before and not torch.equal(value, before[name])
    }
    real, fake = (float(PRESETS[preset].get(kind, 0)) > 0 for kind in ("real", "fake"))
    assert {kind: any(f"streams.{kind}.head" in name for name in moved) for kind in ("real", "fake")} == {
        "real": real, "fake": fake,
    }  # fmt: skip
    other = weights(without)
    differs = {name.split(".")[0] for name in other if not torch.equal(other[name], with_it.state_dict()[name])}
    assert {"generator", "discriminator"} <= differs
    assert f"loss/{preset}" in with_it.latest
    assert (f"loss/{preset}/generator" in with_it.latest) == fake
    for kind in task.streams:
        queue = task.stream(kind).queue
        assert queue.made_at.tolist() == [24] * 8  # 5 % of 16 images is less than a batch
        torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(8))
        assert f"{preset}/queue_age_{kind}" in with_it.latest


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_works_with_every_loss_and_another_backbone(loss: Any, tmp_path: Path) -> None:
    gan = tiny_gan(
        auxiliary=[instance("insgen")],
        discriminator=ToyDiscriminator,
        loss=loss,
        warmup_kimg=0,
        augmentation=ADA(p=0.5),
    )
    task = fit(gan, tmp_path)
    assert all(value.isfinite() for value in gan.latest.values())
    # the buffers of spectral normalisation belong to D: the copy takes them, and moves none
    own, copied = gan.discriminator.state_dict(), task.encoder.state_dict()
    vectors = [name for name in own if name.endswith("_u")]
    assert vectors
    assert all(torch.equal(own[name], copied[name]) for name in vectors)


def test_copies_follow_by_their_momentum(tmp_path: Path) -> None:
    gan = tiny_gan(auxiliary=[instance(momentum=0.75)])
    seen: list[dict[str, Tensor]] = []
    (task,) = gan.tasks.each()
    commit = task.commit

    def noted(finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        if not seen:
            seen.append({f"encoder.{k}": v.clone() for k, v in gan.discriminator.named_parameters()})
            seen.append({k: v.clone() for k, v in task.named_parameters()})
            found = commit(finite, images_seen)
            seen.append({k: v.clone() for k, v in task.named_parameters()})
            return found
        return commit(finite, images_seen)

    task.commit = noted  # type: ignore[method-assign]
    fit(gan, tmp_path)
    leaders, before, after = seen
    leaders |= {k.replace(".head.", ".momentum_head."): v for k, v in before.items() if ".head." in k}
    followers = [name for name in after if name.startswith("encoder.") or ".momentum_head." in name]
    assert len(followers) == len(leaders)
    for name in followers:
        torch.testing.assert_close(after[name], 0.75 * before[name] + 0.25 * leaders[name])


def test_a_bad_minibatch_leaves_nothing_in_the_queue(tmp_path: Path) -> None:
    gan = tiny_gan(auxiliary=[instance()])
    task = fit(gan, tmp_path, steps=2)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    task.stream("fake").fresh = [torch.full((8, 4), torch.nan)]
    task.commit(torch.tensor(False), 16)
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())


def test_the_second_view_keeps_the_mixing_of_styles(tmp_path: Path) -> None:
    gan = tiny_gan(auxiliary=[instance("fakeclr", perturbation_scale=0.0)], style_mixing=1.0)
    pairs: list[tuple[Tensor, Tensor]] = []
    for module in gan.generator.modules():
        if hasattr(module, "noise_strength"):
            module.noise_strength.requires_grad_(False)  # without noise the same latents give the same image
    generate = gan.fakes_of

    def noted(latents: Any, labels: Any, purpose: str, part: int = 0) -> Tensor:
        made = generate(latents, labels, purpose, part)
        assert latents.mixed is not None
        pairs.append((made, fakes[-1]))
        return made

    fakes: list[Tensor] = []
    draw = gan.draw_fakes

    def drawn(*arguments: Any) -> Any:
        found = draw(*arguments)
        fakes.append(found[0])
        return found

    gan.fakes_of, gan.draw_fakes = noted, drawn  # type: ignore[method-assign, assignment]
    fit(gan, tmp_path)
    assert len(pairs) == 3
    for near, image in pairs:
        torch.testing.assert_close(near, image)


def test_part_of_the_queue_can_be_of_real_images(tmp_path: Path) -> None:
    quarter = {"real_fraction": 0.25}
    trainings: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}), (quarter, {}), ({**quarter, "real_from": 0.5}, {}), (quarter, {"micro_batch": 4}),
        ({}, {"micro_batch": 4}),
    ]  # fmt: skip
    plain, mixed, later, in_parts, plain_in_parts = (
        fit(tiny_gan(auxiliary=[instance(**own)], **settings), tmp_path / str(k), steps=1).stream("fake").queue.keys
        for k, (own, settings) in enumerate(trainings)
    )
    assert (plain != mixed).any(dim=1).tolist() == [False, False, False, True] * 2
    assert torch.equal(plain, later)
    # the same images of the batch
    assert (plain_in_parts != in_parts).any(dim=1).tolist() == [False, False, False, True] * 2


def test_constant_weights_are_not_the_same_as_none(tmp_path: Path) -> None:
    losses = {}
    for kind in ("none", "constant", "queue"):
        gan = tiny_gan(auxiliary=[instance(forgetting=kind)])
        fit(gan, tmp_path, steps=1)
        losses[kind] = float(gan.latest["loss/fakeclr"])
    assert losses["constant"] > losses["queue"] > losses["none"]


def test_the_newest_keys_are_in_front() -> None:
    queue = KeyQueue(6, 2, "fake")
    for step in range(3):
        parts = [torch.full((2, 2), float(10 * step + k)) for k in range(2)]
        queue.push(whole_batch(parts), torch.tensor(True), 4 * (step + 1))
    assert queue.keys[:, 0].tolist() == [20, 21, 20, 21, 10, 11]  # parts are strided shares
    assert queue.made_at.tolist() == [12, 12, 12, 12, 8, 8]
    torch.testing.assert_close(queue.ages(12), torch.tensor([0.0, 0, 0, 0, 0.004, 0.004]))
    foreign = {"keys": queue.keys, "made_at": queue.made_at.flip(0)}
    with pytest.raises(ValueError, match=r"is not in order of age \(made_at rises\)"):
        queue.load_state_dict(foreign)


@pytest.mark.parametrize("shift", [-100, 1000])
def test_keys_of_another_time_are_refused_before_they_are_used(shift: int, tmp_path: Path) -> None:
    first, second = (tiny_gan(auxiliary=[instance()]) for _ in range(2))
    trainer = tiny_trainer(3)
    trainer.fit(first, datamodule=data(tmp_path))
    first.get_buffer("tasks.0.streams.fake.queue.made_at").add_(shift)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=rf"made at {24 + shift} to {24 + shift} images .* the clock stands at 24"):
        tiny_trainer(5).fit(second, datamodule=data(tmp_path), ckpt_path=tmp_path / "a.ckpt", weights_only=True)


def test_a_queue_of_one_batch_cannot_forget(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fit(tiny_gan(auxiliary=[instance(queue_size=8)]), tmp_path, steps=1)
    assert "the queue of 8 keys holds one batch, so that all are of one age" in capsys.readouterr().out
    fit(tiny_gan(auxiliary=[instance(queue_size=9)]), tmp_path, steps=1)
    assert "of one age" not in capsys.readouterr().out


def test_similarities_are_exact_under_autocast() -> None:
    task = InstanceDiscrimination(discriminator(resolution=8), "fakeclr", **SMALL)
    task.prepare(100, 8, 100)
    stream = task.stream("fake")
    features, key = torch.randn(8, task.trained[0].trunk_width or 0, 4, 4), F.normalize(torch.randn(8, 4), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        query = stream.head(features)
        found = task._contrast("fake", features, key)
    expected = info_nce(query, key, stream.queue.keys, task.method.weights(stream.queue.made_at), task.temperature)
    assert torch.equal(found, expected)


MISTAKES: dict[str, dict[str, Any]] = {
    "queue_size 0 is out of range: expected 1 or more": {"queue_size": 0},
    "temperature 0 is out of range: expected above 0": {"temperature": 0.0},
    "momentum 1.5 is out of range: expected a number from 0 to below 1": {"momentum": 1.5},
    "real_fraction -0.5 is out of range": {"real_fraction": -0.5},
    "real_from 0.5 has no effect without real_fraction": {"real_from": 0.5},
    "real_from -3 is out of range: expected a number from 0 to below 1": {"real_fraction": 0.5, "real_from": -3.0},
    "momentum 1 is out of range": {"momentum": 1.0},
    r"real_fraction 0.5 has no effect without generated images \(fake 0\)": {
        "preset": "instance_real", "real_fraction": 0.5,
    },
}  # fmt: skip


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_gan(auxiliary=[partial(InstanceDiscrimination, **{"preset": "fakeclr", **MISTAKES[message]})])


def test_two_tasks_of_one_name_are_told_what_can_be_done() -> None:
    with pytest.raises(ValueError, match=r"one name \(fakeclr, fakeclr\).*leave one out, or .* another preset"):
        tiny_gan(auxiliary=[instance(), instance()])
    assert len(tiny_gan(auxiliary=[instance(), instance("insgen")]).tasks) == 2


def test_what_only_the_data_show_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fakeclr: queue_size 7 is smaller than the batch of all devices, 8"):
        fit(tiny_gan(auxiliary=[instance(queue_size=7)]), tmp_path)
    task = InstanceDiscrimination(discriminator(resolution=8), "fakeclr")
    with pytest.raises(ValueError, match="fakeclr needs images to size its queue by, and the data set has 0"):
        task.prepare(0, 8, 100)


def test_queues_are_5_percent_of_the_data() -> None:
    for images, batch, expected in ((10_000, 64, 500), (389, 64, 64), (2000, 16, 100)):
        task = InstanceDiscrimination(discriminator(resolution=8), "fakeclr", **SMALL)
        task.prepare(images, batch, 100)
        assert task.stream("fake").queue.keys.shape == (expected, 4)


def test_mirrored_images_count_twice(tmp_path: Path) -> None:
    images = SyntheticCLEVR(num_images=100, resolution=8, batch_size=8, cache_dir=os.fspath(tmp_path), mirror=True)
    gan = tiny_gan(auxiliary=[instance()])
    tiny_trainer(1).fit(gan, datamodule=images)
    assert len(gan.tasks.get_buffer("0.streams.fake.queue.keys")) == 10


def test_a_discriminator_without_a_trunk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyDiscriminator, "trunk_width", None)
    with pytest.raises(ValueError, match="InstanceDiscrimination works on the features of D's trunk, and ToyDiscrim"):
        tiny_gan(discriminator=ToyDiscriminator, auxiliary=[instance()])


EVERYTHING = words(
    "--model.generator StyleGAN2Generator --model.generator.channel_base 128 --model.generator.z_dim 16 "
    "--model.generator.w_dim 16 --model.generator.mapping_layers 2 --model.generator.attention SAN "
    "--model.generator.attention.footprint 3 --model.generator.attention_resolution 8 "
    "--model.discriminator StyleGAN2Discriminator --model.discriminator.channel_base 128 "
    "--model.discriminator.attention ReferenceAttention --model.discriminator.attention.footprint 3 "
    "--model.discriminator.attention_resolution 8 --model.loss DualContrastive --model.warmup_kimg 0 "
    "--model.augmentation ADA --model.augmentation.kimg 0.2 --model.augmentation.p 0.3 "
    "--model.auxiliary+ InstanceDiscrimination --model.auxiliary.preset fakeclr --model.auxiliary.hidden 8 "
    "--model.auxiliary.width 4 --model.auxiliary.queue_size 20"
)


@pytest.mark.filterwarnings("ignore:DualContrastive with reference attention")
def test_a_killed_run_ends_with_the_bits_of_the_uninterrupted_one(run_cli: RunCLI, in_empty_folder: Path) -> None:
    torch.set_num_threads(1)
    run = (*EVERYTHING, *DATA, *words("--model.total_kimg 1 --checkpoints.every_kimg 0.04 --trainer.max_steps 10"))
    whole, killed = in_empty_folder / "whole", in_empty_folder / "killed"
    snapshot = ("--trainer.callbacks", "tests.cli.snapshot.Snapshot", "--trainer.callbacks.out", killed)
    run_cli.succeeds("fit", *run, *snapshot, "--run_dir", whole, *words("--trainer.log_every_n_steps 2"))
    run_cli.succeeds("fit", *run, "--run_dir", killed, "--ckpt_path", "last", *words("--trainer.log_every_n_steps 2"))
    assert_same_state(whole / "checkpoints" / "last.ckpt", killed / "checkpoints" / "last.ckpt")
    state = read_checkpoint(whole / "checkpoints" / "last.ckpt")["state_dict"]
    assert state["tasks.0.streams.fake.queue.made_at"].tolist() == [80] * 8 + [72] * 8 + [64] * 4
    header = (whole / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"ada/p", "ada/r_t", "fakeclr/queue_age_fake", "loss/fakeclr", "loss/fakeclr/generator"} <= set(header)


@pytest.mark.filterwarnings("ignore:DualContrastive with reference attention")
def test_micro_batches_and_references_work_with_it(tmp_path: Path) -> None:
    gan = attending_gan(auxiliary=[instance("insgen")], loss=DualContrastive(), warmup_kimg=0, micro_batch=4)
    task = fit(gan, tmp_path)
    assert task.stream("fake").queue.made_at.tolist() == [24] * 8
    assert all(value.isfinite() for value in gan.latest.values())


def test_one_task_in_place_of_a_list_is_explained(run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", *DATA, "--model.auxiliary", "InstanceDiscrimination")
    assert "'InstanceDiscrimination' is not a list: --model.auxiliary+ InstanceDiscrimination adds to it" in error


def test_bases_are_not_offered(run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", *DATA, "--model.augmentation", "Strengthened")
    assert "expected one of ADA, APA, Combined, DiffAugment, NoAugmentation" in error
