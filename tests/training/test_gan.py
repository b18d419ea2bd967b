import math
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dualgan import load_generator
from dualgan.data import Batch
from dualgan.gan import GAN
from dualgan.losses import (
    R1,
    AdversarialLoss,
    DualContrastive,
    Hinge,
    NonSaturating,
    PathLength,
    RelativisticPairing,
    Saturating,
    Wasserstein,
)
from dualgan.networks import Latents, Network
from dualgan.networks.base import Drawn
from dualgan.training.averaging import half_life_decay
from dualgan.training.divergence import DivergenceError
from dualgan.training.optimizers import AdamOptions
from dualgan.training.players import Fakes
from dualgan.training.schedule import Cosine, Linear
from tests.tiny import Noise, discriminator, tiny_gan, tiny_trainer, train

ALL_LOSSES: list[AdversarialLoss] = [
    NonSaturating(),
    Saturating(),
    Wasserstein(drift=0.001),
    Hinge(),
    DualContrastive("swapped"),
    DualContrastive("minimax"),
    RelativisticPairing(),
]


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: nn.Module) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(before[name], value)}


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_every_loss_trains_both_players(loss: AdversarialLoss) -> None:
    gan = tiny_gan(loss=loss, r2_gamma=0.5, gradient_penalty=10.0, warmup_kimg=0.0)
    before = weights(gan)
    train(gan, steps=3)
    moved = changed(before, gan)
    if loss.shift_invariant:  # the pairs' gradients of the last bias cancel out, maybe to the last bit
        moved.add("discriminator.b4.out.bias")
    for player in ("generator", "discriminator", "generator_ema"):
        learned = {name for name, _ in getattr(gan, player).named_parameters(prefix=player)}
        assert learned - moved == set(), f"{player} has parameters that never learn"
    assert all(value.isfinite().all() for value in gan.state_dict().values())
    assert all(value.isfinite() for value in gan.latest.values())
    assert {"loss/r1", "loss/r2", "loss/gradient_penalty", "loss/path_length"} <= gan.latest.keys()


@pytest.mark.parametrize(("num_classes", "num_channels"), [(3, 3), (0, 1)], ids=["conditional", "gray"])
def test_conditional_and_gray_networks_train(num_classes: int, num_channels: int) -> None:
    source = "batch" if num_classes else "dataset"
    gan = tiny_gan(num_classes=num_classes, num_channels=num_channels, fake_labels=source)
    before = weights(gan)
    train(gan, steps=2)
    assert "generator.mapping.fc0.weight" in changed(before, gan)
    assert ("discriminator.mapping.embed.weight" in changed(before, gan)) == (num_classes > 0)


# Trap: Lightning counts every LightningOptimizer step, so two players would double global_step.
def test_global_step_counts_minibatches_and_both_optimizers_are_saved(tmp_path: Path) -> None:
    gan = tiny_gan(d_reg_interval=1, g_reg_interval=1)
    trainer = train(gan, steps=5, batch=8)
    assert trainer.global_step == 5
    assert gan.clock == int(gan.images_seen) == 40
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    states = torch.load(tmp_path / "a.ckpt", weights_only=True)["optimizer_states"]
    players = (gan.generator, gan.discriminator)
    assert [len(state["state"]) for state in states] == [len(list(player.parameters())) for player in players]


# Trap: Lightning's weight averaging averages the whole module at a fixed decay, or never updates.
def test_ema_follows_the_generator_alone_with_the_half_life_in_images() -> None:
    gan = tiny_gan(ema_kimg=0.032)
    start = weights(gan.generator)
    train(gan, steps=1, batch=8)
    decay = half_life_decay(8, 0, 0.032, None)
    assert decay == pytest.approx(0.5**0.25)
    for name, averaged in gan.generator_ema.named_parameters():
        expected = start[name].lerp(gan.generator.get_parameter(name), 1 - decay)
        torch.testing.assert_close(averaged, expected)
    assert not any("discriminator" in name for name, _ in gan.generator_ema.named_parameters())
    assert not gan.generator_ema.training
    assert not any(p.requires_grad for p in gan.generator_ema.parameters())


def test_training_stops_at_total_kimg() -> None:
    gan = tiny_gan(total_kimg=0.05)
    trainer = train(gan, steps=-1, batch=8, max_epochs=-1)
    assert (gan.clock, trainer.global_step) == (56, 7)


def test_lazy_regularization_happens_at_its_interval_scaled_and_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = tiny_gan(d_reg_interval=4, g_reg_interval=2, learning_rate=0.01, betas=(0.5, 0.9))
    at: dict[str, list[int]] = {"r1": [], "path_length": []}
    r1, lengths = R1.__call__, PathLength.path_lengths

    def counted_r1(self: R1, *args: Any) -> Tensor:
        at["r1"].append(gan.clock // 8)
        return r1(self, *args)

    def counted_lengths(self: PathLength, *args: Any) -> Tensor:
        at["path_length"].append(gan.clock // 8)
        return lengths(self, *args)

    monkeypatch.setattr(R1, "__call__", counted_r1)
    monkeypatch.setattr(PathLength, "path_lengths", counted_lengths)
    train(gan, steps=6)
    assert at == {"r1": [0, 4], "path_length": [0, 2, 4]}
    g, d = (optimizer.param_groups[0] for optimizer in gan.configure_optimizers())
    assert (g["lr"], g["betas"]) == (pytest.approx(0.01 * 2 / 3), pytest.approx((0.5 ** (2 / 3), 0.9 ** (2 / 3))))
    assert (d["lr"], d["betas"]) == (pytest.approx(0.01 * 4 / 5), pytest.approx((0.5**0.8, 0.9**0.8)))
    plain = tiny_gan(r1_gamma=0, path_length_weight=0, learning_rate=0.01)
    assert {optimizer.param_groups[0]["lr"] for optimizer in plain.configure_optimizers()} == {0.01}


def test_penalty_gradient_is_scaled_by_its_interval() -> None:
    def penalty_gradient(interval: int) -> Tensor:
        gan = tiny_gan(d_reg_interval=interval)
        seen: list[Tensor] = []
        gan.step = lambda *_, **__: seen.append(gan.discriminator.b8.conv0.weight.grad.clone())  # type: ignore
        gan.trainer = tiny_trainer(1)
        gan.manual_backward = lambda loss: loss.backward()  # type: ignore
        gan.player = lambda player: nullcontext()  # type: ignore
        real = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
        gan.penalty_step(Batch(real, None))
        return seen[0]

    torch.testing.assert_close(penalty_gradient(8), 8 * penalty_gradient(1))


def one_step(gan: GAN) -> dict[str, Tensor]:
    """Adam's first moments after one step, which are gradients where beta1 is 0."""
    trainer = train(gan, steps=1)
    states = [state for optimizer in trainer.optimizers for state in optimizer.state.items()]
    names: dict[Tensor, str] = {parameter: name for name, parameter in gan.named_parameters()}
    return {names[parameter]: state["exp_avg"] for parameter, state in states}


def test_penalties_in_the_main_step_are_one_step_on_the_summed_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    main: dict[str, Any] = {"d_reg_interval": None, "g_reg_interval": None, "r1_gamma": 3.0}
    gan = tiny_gan(**main)
    together = one_step(gan)
    plain = one_step(tiny_gan(r1_gamma=0, path_length_weight=0))
    assert {group["lr"] for optimizer in gan.trainer.optimizers for group in optimizer.param_groups} == {0.002}
    assert {int(state["step"]) for o in gan.trainer.optimizers for state in o.state.values()} == {1}

    # The gradients of the penalties alone: D's of the same start, G's with the same draws.
    alone = tiny_gan(**main)
    alone.trainer = tiny_trainer(1)
    alone.manual_backward = lambda loss: loss.backward()  # type: ignore
    batch = next(iter(Noise(alone)))
    alone.path_length.backward(alone, batch)
    for name, parameter in alone.generator.named_parameters(prefix="generator"):
        if parameter.grad is not None:
            torch.testing.assert_close(together[name] - plain[name], parameter.grad, rtol=1e-3, atol=1e-5)
    assert {"loss/r1", "loss/path_length", "loss/discriminator"} <= gan.latest.keys()
    torch.testing.assert_close(gan.latest["loss/r1"], first_r1(batch))


def first_r1(batch: Batch) -> Tensor:
    """R1 at the start of D, whose penalty step comes before any other."""
    gan = tiny_gan(r1_gamma=3.0)
    score = gan.critic.scorer(None, None, "anything")
    return R1(3.0)(score, batch.images, None).detach()


def test_settings_of_each_player_change_over_time() -> None:
    gan = tiny_gan(
        learning_rate=0.01, betas=(0.5, Cosine(0.9, 0.99, 0.016)), discriminator_adam=AdamOptions(learning_rate=0.04),
        generator_adam=AdamOptions(Linear(0, 0.02, 0.032), eps=1e-6), r1_gamma=Linear(0, 8, 0.016), d_reg_interval=None,
        path_length_weight=0,
    )  # fmt: skip
    seen: list[tuple[float, ...]] = []
    advance = gan.advance

    def noted(images: int) -> None:
        g, d = (optimizer.param_groups[0] for optimizer in gan.trainer.optimizers)
        seen.append(
            (g["lr"], d["lr"], g["betas"][1], d["betas"][1], g["eps"], d["eps"], gan.penalties.terms[0][0].weight)
        )
        advance(images)

    gan.advance = noted  # type: ignore[method-assign]
    train(gan, steps=3)
    assert seen == [
        pytest.approx(row)
        for row in (
            (0.0, 0.04, 0.9, 0.9, 1e-6, 1e-8, 0.0),
            (0.005, 0.04, 0.945, 0.945, 1e-6, 1e-8, 4.0),
            (0.01, 0.04, 0.99, 0.99, 1e-6, 1e-8, 8.0),
        )
    ]


def test_warm_up_uses_the_non_saturating_loss_and_switches_hard() -> None:
    gan = tiny_gan(loss=DualContrastive(), warmup_kimg=0.016)
    used = []
    original = gan.generator_step

    def spy(batch: Batch) -> None:
        used.append(type(gan.active_loss).__name__)
        original(batch)

    gan.generator_step = spy  # type: ignore
    train(gan, steps=4, batch=8)
    assert used == ["NonSaturating", "NonSaturating", "DualContrastive", "DualContrastive"]


def test_default_warm_up_follows_data_and_length() -> None:
    gan = tiny_gan(loss=DualContrastive(), total_kimg=2.0)
    train(gan, steps=1)
    assert gan.warmup_kimg == pytest.approx(0.06 * 2.0)
    plain = tiny_gan(loss=Hinge())
    assert plain.warmup_kimg == 0
    with pytest.raises(ValueError, match="warmup_kimg 5 has no effect with the Hinge loss"):
        tiny_gan(loss=Hinge(), warmup_kimg=5)
    with pytest.raises(ValueError, match=r"warmup_kimg 2 leaves nothing of total_kimg 1 for the DualContrastive loss"):
        tiny_gan(loss=DualContrastive(), warmup_kimg=2)


def test_dual_contrast_logs_margin_and_distance_from_chance() -> None:
    gan = tiny_gan(loss=DualContrastive())
    train(gan, steps=1, batch=8)
    assert gan.latest["contrast/margin"] == gan.latest["logits/real"] - gan.latest["logits/fake"]
    assert abs(gan.latest["contrast/loss_above_chance"]) < 2 * math.log(9)


def test_one_seed_gives_one_training_and_another_seed_another() -> None:
    first, second, other = tiny_gan(seed=3), tiny_gan(seed=3), tiny_gan(seed=4)
    torch.rand(7)  # what was drawn before must not matter
    for gan in (first, second, other):
        train(gan, steps=3)
    assert not changed(weights(first), second)
    assert changed(weights(first), other)


def test_two_steps_draw_different_latents_and_one_step_the_same() -> None:
    gan = tiny_gan()
    first, again = gan.draw(4, "generator").z, gan.draw(4, "generator").z
    assert torch.equal(first, again)
    assert not torch.equal(first, gan.draw(4, "fakes").z)
    assert not torch.equal(first, gan.draw(4, "generator", part=1).z)
    gan.clock += 8
    assert not torch.equal(first, gan.draw(4, "generator").z)


def test_style_mixing_replaces_a_tail_of_layers() -> None:
    def distinct(style_mixing: float) -> Tensor:
        gan = tiny_gan(style_mixing=style_mixing, style_mixing_per_sample=style_mixing > 0)
        ws = gan.generator.styles(gan.draw(64, "generator"))
        return (ws[:, 1:] != ws[:, :-1]).any(dim=2).sum(dim=1)  # changes of w along the layers, per sample

    assert distinct(0.0).sum() == 0
    assert set(distinct(1.0).tolist()) == {1}
    assert 20 < int(distinct(0.5).sum()) < 44


def test_a_batch_is_mixed_as_a_whole_at_one_crossover_as_published() -> None:
    gan = tiny_gan(style_mixing=0.5)
    seen = set()
    for _ in range(40):
        gan.clock += 8
        latents = gan.draw(16, "generator")
        assert latents.mixed is not None
        seen.add(int(latents.mixed.sum()))  # layers that take the other w, for all samples
        ws = gan.generator.styles(latents)
        assert len(set((ws[:, 1:] != ws[:, :-1]).any(dim=2).sum(dim=1).tolist())) == 1
    assert seen == set(range(gan.generator.num_ws))


def test_w_avg_moves_towards_the_mean_w() -> None:
    gan = tiny_gan()
    train(gan, steps=1)
    assert gan.generator.mapping.w_avg.abs().sum() > 0  # type: ignore[operator]
    assert torch.equal(gan.generator.mapping.w_avg, gan.generator_ema.mapping.w_avg)  # type: ignore[arg-type]


def test_non_finite_steps_change_nothing_are_counted_and_training_goes_on() -> None:
    gan = tiny_gan(d_reg_interval=1, g_reg_interval=1)
    train(gan, steps=3, poison=frozenset({1}))
    assert int(gan.divergence.total) == 1
    assert int(gan.divergence.run) == 0
    assert all(value.isfinite().all() for value in gan.state_dict().values())

    only_poison = tiny_gan(path_length_weight=0.0)
    before = weights(only_poison.discriminator)
    train(only_poison, steps=1, poison=frozenset({0}))
    assert changed(before, only_poison.discriminator) == set()
    assert int(only_poison.divergence.total) == 1


def test_too_many_non_finite_steps_in_a_row_stop_the_run_with_good_weights() -> None:
    gan = tiny_gan(max_non_finite=3)
    with pytest.raises(DivergenceError, match="3 minibatches in a row had a non-finite loss"):
        train(gan, steps=20, poison=frozenset(range(2, 20)))
    assert gan.clock == 5 * 8
    assert all(value.isfinite().all() for value in gan.state_dict().values())


def test_non_finite_steps_in_a_row_between_two_log_steps_stop_the_run() -> None:
    gan = tiny_gan(max_non_finite=3)
    with pytest.raises(DivergenceError, match="4 minibatches in a row had a non-finite loss"):
        train(gan, steps=20, poison=frozenset({1, 2, 3, 4, 7}), log_every_n_steps=10)
    assert gan.clock == 10 * 8
    with_pauses = tiny_gan(max_non_finite=3)
    train(with_pauses, steps=20, poison=frozenset({1, 2, 5, 6, 9, 10, 12, 13}), log_every_n_steps=10)
    assert int(with_pauses.divergence.total) == 8


# Trap: a checkpoint's optimizers bring their old learning rate back.
def test_resumed_optimizers_obey_the_configuration(tmp_path: Path) -> None:
    train(tiny_gan(learning_rate=0.01), steps=1).save_checkpoint(tmp_path / "a.ckpt")
    gan = tiny_gan(learning_rate=0.5, path_length_weight=0)
    trainer = tiny_trainer(2)
    trainer.fit(gan, DataLoader(Noise(gan), batch_size=None), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.5
    assert trainer.optimizers[1].param_groups[0]["lr"] == pytest.approx(0.5 * 16 / 17)
    assert trainer.global_step == 2


# Trap: an endless loader never validates by default.
def test_validation_inside_of_fit_needs_an_integer_interval() -> None:
    gan = tiny_gan()
    trainer = Trainer(
        max_steps=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, val_check_interval=2, check_val_every_n_epoch=None, limit_val_batches=1,
        num_sanity_val_steps=0,
    )  # fmt: skip
    loader = DataLoader(Noise(gan), batch_size=None)
    trainer.fit(gan, loader, loader)
    assert {"val/loss/discriminator", "val/loss/generator", "val/logits/real"} <= trainer.callback_metrics.keys()


def test_held_out_batches_meet_different_generated_images(monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(discriminator, minibatch_std_group=3)
    gan = tiny_gan(discriminator=small)
    drawn, draw = [], gan.draw_fakes

    def noted(*arguments: Any) -> Fakes:
        fakes = draw(*arguments)
        drawn.append(fakes.images)
        return fakes

    monkeypatch.setattr(gan, "draw_fakes", noted)
    batches = [Batch(torch.zeros(count, 3, 8, 8), None, None) for count in (8, 8, 4, 2)]
    trainer = tiny_trainer(1, limit_val_batches=1.0)
    trainer.validate(gan, DataLoader(batches, batch_size=None), verbose=False)  # type: ignore[arg-type]
    assert [len(fakes) for fakes in drawn] == [6, 6, 3]
    assert not torch.equal(drawn[0], drawn[1])
    drawn.clear()
    (scores,) = trainer.validate(gan, DataLoader(batches[3:], batch_size=None), verbose=False)  # type: ignore[arg-type]
    assert len(drawn[0]) == 2
    assert "val/loss/discriminator" in scores


def test_bf16_trains_with_penalties_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = tiny_gan()
    forward_types, penalty_types = set(), set()
    penalty = R1.__call__
    gan.discriminator.b8.conv0.register_forward_hook(lambda *a: forward_types.add(a[2].dtype))  # type: ignore

    def spy(self: R1, *args: Any) -> Tensor:
        forward_types.clear()
        value = penalty(self, *args)
        penalty_types.update(forward_types)
        return value

    monkeypatch.setattr(R1, "__call__", spy)
    train(gan, steps=1, precision="bf16-mixed")
    assert penalty_types == {torch.float32}
    forward_types.clear()
    train(tiny := gan, steps=2, precision="bf16-mixed")
    assert torch.bfloat16 in forward_types
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in tiny.parameters())


@pytest.mark.parametrize("precision", ["16-true", "bf16-true"])
def test_other_precisions_are_refused_before_training(precision: str) -> None:
    with pytest.raises(ValueError, match=r"Use --trainer.precision bf16-mixed"):
        train(tiny_gan(), precision=precision)


def gradients_of_a_step(gan: GAN) -> dict[str, Tensor]:
    """Gradients of D's adversarial and penalty step on a fixed batch and fixed fakes."""
    real = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    fakes = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    reference = fakes.flip(0) if gan.takes_reference else None
    batch = Batch(real, None, reference)
    parts = len(gan.split(batch))
    ws = torch.zeros(16, gan.generator.num_ws, gan.generator.w_dim)

    def draw(count: int, labels: Tensor | None, purpose: str, part: int, same_classes: bool = False) -> Fakes:
        return Fakes(fakes[part::parts], Drawn(Latents(ws[part::parts, 0]), None, ws[part::parts]))

    collected: dict[str, Tensor] = {}

    def step(player: int, value: Tensor, main: bool = True) -> None:
        for name, parameter in gan.discriminator.named_parameters():
            if parameter.grad is not None:
                collected[f"{name}/{main}"] = parameter.grad.clone()
        gan.discriminator.zero_grad()

    gan.step_is_finite = torch.ones((), dtype=torch.bool)
    gan.draw_fakes, gan.step = draw, step  # type: ignore
    gan.trainer = tiny_trainer(1)
    gan.manual_backward = lambda loss: loss.backward()  # type: ignore
    gan.player = lambda player: nullcontext()  # type: ignore
    gan.discriminator_step(batch)
    gan.penalty_step(batch)
    return collected


def test_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    whole, parts = (
        gradients_of_a_step(tiny_gan(loss=DualContrastive(), warmup_kimg=0.0, r2_gamma=1.0, micro_batch=size))
        for size in (None, 4)
    )
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6)


def test_path_length_takes_no_more_at_once_than_the_micro_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = tiny_gan(num_classes=3, micro_batch=4, g_reg_interval=1, fake_labels="batch")
    taken, draw = [], gan.draw

    def noted(count: int, purpose: str, part: int = 0) -> Latents:
        if purpose == "path_length":
            taken.append(count)
        return draw(count, purpose, part)

    monkeypatch.setattr(gan, "draw", noted)
    train(gan, steps=1, batch=28)
    assert taken == [2] * 7 * 2  # once without gradient, as the mean length couples all parts


def test_micro_batches_train(tmp_path: Path) -> None:
    gan = tiny_gan(loss=DualContrastive(), warmup_kimg=0.0, micro_batch=4, g_reg_interval=1, r2_gamma=1.0)
    before = weights(gan)
    train(gan, steps=2, batch=8)
    assert {"generator.mapping.fc0.weight", "discriminator.b4.fc.weight"} <= changed(before, gan)


def test_load_generator_gives_the_average_in_eval_mode_without_running_code(tmp_path: Path) -> None:
    gan = tiny_gan()
    train(gan, steps=2).save_checkpoint(tmp_path / "a.ckpt")
    loaded = load_generator(tmp_path / "a.ckpt")
    assert not changed(weights(gan.generator_ema), loaded)
    assert not loaded.training
    assert isinstance(loaded, Network)
    assert loaded.init_args == gan.generator.init_args


def test_networks_are_channels_last() -> None:
    weight = tiny_gan().discriminator.b8.conv0.weight  # type: ignore[union-attr]
    assert weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]


def test_resuming_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    train(tiny_gan(total_kimg=0.016), steps=-1, max_epochs=-1).save_checkpoint(tmp_path / "a.ckpt")
    gan = tiny_gan(total_kimg=0.016)
    loader = DataLoader(Noise(gan), batch_size=None)
    tiny_trainer(-1, max_epochs=-1).fit(gan, loader, ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert gan.clock == 16


def test_both_players_slow_down_at_the_end() -> None:
    gan = tiny_gan(total_kimg=0.064, cooldown_kimg=0.048, learning_rate=0.01)
    train(gan, steps=5, batch=8)  # the fifth step starts after 32 of 64 images, a third of the way down
    for optimizer, interval in zip(gan.trainer.optimizers, (4, 16), strict=True):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * 2 / 3 * interval / (interval + 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("style_mixing", 1.5),
        ("cooldown_kimg", -1.0),
        ("micro_batch", 0),
        ("total_kimg", -1.0),
        ("r1_gamma", -5.0),
        ("g_reg_interval", 0),
        ("learning_rate", 0.0),
        ("ema_rampup", -1.0),
        ("d_steps", 0),
        ("ema_decay", 1.0),
        ("ema_start_kimg", -1.0),
    ],
)
def test_numbers_out_of_range_are_named(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"{name} {value:g} is out of range"):
        tiny_gan(**settings)
