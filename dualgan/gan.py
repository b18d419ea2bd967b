"""GAN: the two-player training step. No formula, no network and no metric lives here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies.parallel import ParallelStrategy
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Adam

from dualgan.data.batches import Batch
from dualgan.losses import R1, R2, AdversarialLoss, DiscriminatorPenalty, GradientPenalty, NonSaturating, PathLength
from dualgan.networks import Discriminator, Generator, StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.runtime.distributed import average_over_ranks_, mean_over_ranks, world_size
from dualgan.runtime.process import flush_denormals
from dualgan.runtime.seeding import reseed
from dualgan.training.cautions import cautions
from dualgan.training.compilation import Passes, check_compiler, compiled_passes
from dualgan.training.divergence import DivergenceError
from dualgan.training.microbatch import backward_in_parts, number_of_parts, strided
from dualgan.training.players import Players
from dualgan.training.schedule import (
    check_batch,
    check_precision,
    check_settings,
    checked_warmup,
    cooldown_factor,
    default_warmup_kimg,
    ema_decay,
    is_due,
    lazy_adam,
)

PLAYERS = ("generator", "discriminator")


class GAN(Players):
    """Trains a generator against a discriminator; the defaults are the paper's StyleGAN2 config E protocol.

    Order in a step: G, G's path length, D, D's penalties, EMA. `images_seen` counts real images over all devices
    and is the only clock.

    Args:
        resolution: Width and height of the images in pixels; taken from the data on the command line.
        num_channels: 3 for colour, 1 for gray; taken from the data on the command line.
        num_classes: Number of classes, 0 is unconditional; taken from the data on the command line.
        generator: Class of the generator with its settings.
        discriminator: Class of the discriminator with its settings.
        loss: Adversarial loss; NonSaturating by default.
        total_kimg: Length of the training in thousands of real images shown.
        learning_rate: Adam's learning rate for both players.
        betas: Adam's decay rates for both players.
        eps: Adam's epsilon for both players.
        r1_gamma: Strength of the R1 penalty on real images; 0 turns it off.
        r2_gamma: Strength of the R2 penalty on generated images; 0 turns it off.
        gradient_penalty: Strength of the WGAN-GP penalty, 10 in its paper; 0 turns it off.
        d_reg_interval: Minibatches between D's penalties, which are scaled up accordingly.
        path_length_weight: Strength of G's path length penalty; 0 turns it off.
        g_reg_interval: Minibatches between G's path length penalties, which are scaled up accordingly.
        style_mixing: Probability that a sample's later layers get the w of another z.
        ema_kimg: Half-life of the generator's moving average in thousands of images.
        ema_rampup: Bound the half-life by this fraction of the images seen so far; null for none.
        warmup_kimg: Start with the non-saturating loss for this long; null is about 20 epochs, at most 6 % of the
            training, for losses that need it and 0 for the others.
        cooldown_kimg: Let both learning rates fall linearly to 0 over this long at the end of the training; 0 keeps
            them constant, as the paper does.
        micro_batch: Images per device and backward pass; null is the whole batch of the device.
        compile: Run the networks under torch.compile in both adversarial steps, not in the penalties, which need
            second derivatives. Costs minutes at the start; the same training but for rounding.
        max_non_finite: Stop the run at the first log step (trainer.log_every_n_steps) after this many minibatches in a
            row with a non-finite loss or gradient.
        seed: Seed of everything random in the training; taken from seed_everything on the command line.

    Raises:
        ValueError: A setting is out of range or has no effect.
    """

    path_length_mean: Tensor
    non_finite: Tensor
    non_finite_run: Tensor
    longest_non_finite_run: Tensor

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        generator: Callable[[int, int, int], Generator] = StyleGAN2Generator,
        discriminator: Callable[[int, int, int], Discriminator] = StyleGAN2Discriminator,
        loss: AdversarialLoss | None = None,
        total_kimg: float = 25_000,
        learning_rate: float = 0.002,
        betas: tuple[float, float] = (0.0, 0.99),
        eps: float = 1e-8,
        r1_gamma: float = 100.0,
        r2_gamma: float = 0.0,
        gradient_penalty: float = 0.0,
        d_reg_interval: int = 16,
        path_length_weight: float = 2.0,
        g_reg_interval: int = 4,
        style_mixing: float = 0.9,
        ema_kimg: float = 10.0,
        ema_rampup: float | None = None,
        warmup_kimg: float | None = None,
        cooldown_kimg: float = 0.0,
        micro_batch: int | None = None,
        compile: bool = False,
        max_non_finite: int = 10,
        seed: int = 0,
    ) -> None:
        check_settings(
            positive={
                "total_kimg": total_kimg, "learning_rate": learning_rate, "ema_kimg": ema_kimg,
                "micro_batch": micro_batch, "max_non_finite": max_non_finite, "d_reg_interval": d_reg_interval,
                "g_reg_interval": g_reg_interval, "ema_rampup": ema_rampup,
            },
            not_negative={
                "r1_gamma": r1_gamma, "r2_gamma": r2_gamma, "gradient_penalty": gradient_penalty,
                "path_length_weight": path_length_weight, "warmup_kimg": warmup_kimg,
                "cooldown_kimg": cooldown_kimg,
            },
            probabilities={"style_mixing": style_mixing},
        )  # fmt: skip
        # Two runs with one seed start from the same weights, whatever was drawn before.
        reseed(seed, "weights")
        shape = (resolution, num_channels, num_classes)
        super().__init__(generator(*shape), discriminator(*shape), loss or NonSaturating(), style_mixing, seed)
        self.automatic_optimization = False
        self.warmup_loss = NonSaturating()
        self.total_images = round(total_kimg * 1000)
        self.warmup_kimg = checked_warmup(warmup_kimg, total_kimg, self.loss)
        self.learning_rate, self.betas, self.eps = learning_rate, betas, eps
        self.d_reg_interval, self.g_reg_interval = d_reg_interval, g_reg_interval
        self.ema_kimg, self.ema_rampup = ema_kimg, ema_rampup
        self.cooldown_kimg = cooldown_kimg
        self.micro_batch, self.max_non_finite = micro_batch, max_non_finite
        self.compiled = compile

        penalties: list[DiscriminatorPenalty] = [R1(r1_gamma), R2(r2_gamma), GradientPenalty(gradient_penalty)]
        self.penalties = [penalty for penalty in penalties if penalty.weight]
        self.path_length = PathLength(path_length_weight) if path_length_weight else None

        self.register_buffer("path_length_mean", torch.zeros(()))
        self.register_buffer("non_finite", torch.zeros((), dtype=torch.int64))
        self.register_buffer("non_finite_run", torch.zeros((), dtype=torch.int64))
        # since the last log step
        self.register_buffer("longest_non_finite_run", torch.zeros((), dtype=torch.int64), persistent=False)
        self.latest: dict[str, Tensor] = {}

    # ---- before training -----------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Check what only the trainer and the data know together, before anything is trained."""
        flush_denormals()
        check_precision(self.trainer.precision)
        data = getattr(self.trainer, "datamodule", None)
        if stage == "fit":
            if self.compiled:
                check_compiler(self.device.type)
            for caution in cautions(self.discriminator, self.loss, self.total_images / 1000, self.cooldown_kimg):
                rank_zero_warn(caution)
            if data is not None:
                group = self.discriminator.minibatch_std_group
                check_batch(data.batch_size, self.trainer.world_size, self.micro_batch, group)
        if self.warmup_kimg is None:
            size = data.dataset_size if data is not None else self.total_images
            self.warmup_kimg = default_warmup_kimg(size, self.total_images)

    def configure_optimizers(self) -> list[Adam]:
        """Adam for each player, corrected for the extra steps of its lazy regularization."""
        return [
            Adam(self.generator.parameters(), fused=True, **self._adam_settings(0)),
            Adam(self.discriminator.parameters(), fused=True, **self._adam_settings(1)),
        ]

    def _adam_settings(self, player: int) -> dict[str, Any]:
        intervals = [self.g_reg_interval if self.path_length else None, self.d_reg_interval if self.penalties else None]
        learning_rate = self.learning_rate * cooldown_factor(self.clock, self.total_images, self.cooldown_kimg)
        return lazy_adam(learning_rate, self.betas, intervals[player]) | {"eps": self.eps}

    def _update_optimizers(self) -> None:
        for player, optimizer in enumerate(self.trainer.optimizers):
            for group in optimizer.param_groups:
                group.update(self._adam_settings(player))

    def on_fit_start(self) -> None:
        """Take the clock from the restored buffer."""
        self.clock = int(self.images_seen)

    def on_train_start(self) -> None:
        """Take the optimizer settings from this run's configuration: restored ones bring the old run's back."""
        self._update_optimizers()
        if self.clock >= self.total_images:
            self.trainer.should_stop = True  # a finished run was resumed

    # ---- the training step ---------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One minibatch of real images, float [N, C, R, R] in [-1, 1] per device, for both players."""
        real, labels, reference = batch
        minibatch = self.clock // (len(real) * world_size())
        self.step_is_finite = torch.ones((), dtype=torch.bool, device=self.device)
        if self.cooldown_kimg:
            self._update_optimizers()
        self.generator_step(real, labels, reference)
        if self.path_length and is_due(minibatch, self.g_reg_interval):
            self.path_length_step(self.path_length, len(real), labels)
        self.discriminator_step(real, labels, reference)
        if self.penalties and is_due(minibatch, self.d_reg_interval):
            self.penalty_step(real, labels, reference)
        self.update_ema(len(real) * world_size())
        self.advance(len(real) * world_size())

    def generator_step(self, real: Tensor, labels: Tensor | None, reference: Tensor | None = None) -> None:
        """G's adversarial step."""
        loss = self.active_loss
        parts = self._parts(len(real))

        def logits(k: int) -> tuple[Tensor, ...]:
            own_real, own_labels, own_reference = strided(k, parts, real, labels, reference)
            ws = self.draw_ws(len(own_real), own_labels, "generator", k)
            fake = self.passes.synthesize(self.generator, ws)
            fake_logits = self.passes.score(self.discriminator, fake, own_labels, own_reference)
            if not loss.generator_needs_real:
                return (fake_logits,)
            with torch.no_grad():
                return fake_logits, self.passes.score(self.discriminator, own_real, own_labels, own_reference)

        with self._player(0):
            value, _ = backward_in_parts(loss.generator, self._calls(logits, parts), self.manual_backward)
            self._step(0, value)
        self.latest["loss/generator"] = value

    def discriminator_step(self, real: Tensor, labels: Tensor | None, reference: Tensor | None = None) -> None:
        """D's adversarial step."""
        parts = self._parts(len(real))
        fakes, w_means = zip(
            *(self.draw_fakes(len(real) // parts, strided(k, parts, labels)[0], "fakes", k) for k in range(parts)),
            strict=True,
        )
        self.generator.mapping.track(mean_over_ranks(torch.stack(w_means).mean(dim=0)))  # type: ignore[operator]

        def logits(k: int) -> tuple[Tensor, ...]:
            own_real, *others = strided(k, parts, real, labels, reference)
            return self.passes.score_pair(self.discriminator, own_real, fakes[k], *others)

        with self._player(1):
            loss = self.active_loss.discriminator
            value, (real_logits, fake_logits) = backward_in_parts(
                loss, self._calls(logits, parts), self.manual_backward
            )
            self._step(1, value)
        self.latest |= {"loss/discriminator": value, "logits/real": real_logits.mean()}
        self.latest |= {"logits/fake": fake_logits.mean()}
        self.latest |= {f"contrast/{k}": v for k, v in self.loss.diagnostics(real_logits, fake_logits).items()}

    def path_length_step(self, penalty: PathLength, count: int, labels: Tensor | None) -> None:
        """G's lazy regularization, in float32 and on a smaller batch."""
        count = max(count // penalty.batch_shrink, 1)
        parts = self._parts(count)
        means, values = [], []
        with self._player(0), self._float32():
            for k in range(parts):
                own_labels = strided(k, parts, labels if labels is None else labels[:count])[0]
                ws = self.draw_ws(count // parts, own_labels, "path_length", k)
                lengths = penalty.path_lengths(self.generator.synthesis(ws), ws)
                value = penalty.penalty(lengths, self.path_length_mean)
                self.manual_backward(value * (self.g_reg_interval / parts))
                means.append(lengths.detach().mean())
                values.append(value.detach())
            mean_length = mean_over_ranks(torch.stack(means).mean())
            self._step(0, mean_length, lightning=False)
        finite_mean = torch.where(mean_length.isfinite(), mean_length, self.path_length_mean)
        self.path_length_mean.lerp_(finite_mean, penalty.decay)
        self.latest["loss/path_length"] = torch.stack(values).mean()
        self.latest["path_length/mean"] = self.path_length_mean.clone()

    def penalty_step(self, real: Tensor, labels: Tensor | None, reference: Tensor | None = None) -> None:
        """D's lazy regularization, in float32."""
        parts = self._parts(len(real))
        totals = torch.zeros(len(self.penalties), device=self.device)
        with self._player(1), self._float32():
            for k in range(parts):
                own_real, own_labels, own_reference = strided(k, parts, real, labels, reference)
                fake = None
                if any(penalty.needs_fake for penalty in self.penalties):
                    fake, _ = self.draw_fakes(len(own_real), own_labels, "penalty", k)
                values = torch.stack([
                    p(lambda images: self.discriminator(images, own_labels, own_reference), own_real, fake)  # noqa: B023
                    for p in self.penalties
                ])  # fmt: skip
                self.manual_backward(values.sum() * (self.d_reg_interval / parts))
                totals = totals + values.detach() / parts
            self._step(1, totals.sum(), lightning=False)
        self.latest |= {f"loss/{p.name}": total for p, total in zip(self.penalties, totals, strict=True)}

    @torch.no_grad()
    def update_ema(self, batch: int) -> None:
        """Move the averaged generator towards the trained one; buffers are copied."""
        decay = ema_decay(batch, self.clock, self.ema_kimg, self.ema_rampup)
        averaged: list[Tensor] = list(self.generator_ema.parameters())
        current: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)
        torch._foreach_copy_(list(self.generator_ema.buffers()), list(self.generator.buffers()))

    def advance(self, batch: int) -> None:
        """Move the clock, count non-finite steps, log at the trainer's interval and stop where it is time."""
        self.clock += batch
        self.images_seen.fill_(self.clock)
        self.non_finite_run.add_(1).mul_(~self.step_is_finite)
        self.longest_non_finite_run.copy_(torch.maximum(self.longest_non_finite_run, self.non_finite_run))
        self.non_finite.add_(~self.step_is_finite)
        if is_due(self.trainer.global_step, self.trainer.log_every_n_steps):  # type: ignore[attr-defined]
            values = {**self.latest_over_ranks(), "train/non_finite": self.non_finite.float()}
            self.log_dict({"kimg": self.clock / 1000, **values})
            if (longest := int(self.longest_non_finite_run)) >= self.max_non_finite:
                raise DivergenceError(
                    f"{longest} minibatches in a row had a non-finite loss or gradient (max_non_finite "
                    f"{self.max_non_finite}) up to {self.clock / 1000:.1f} kimg. No such step changed the weights of "
                    f"its player. Resume from the last checkpoint with a lower learning rate or a larger r1_gamma"
                )
            self.longest_non_finite_run.zero_()
        if self.clock >= self.total_images:
            self.trainer.should_stop = True

    def latest_over_ranks(self) -> dict[str, Tensor]:
        """The latest values to log, averaged over all ranks; all of them must call it."""
        if not self.latest:
            return {}
        return dict(zip(self.latest, mean_over_ranks(torch.stack(list(self.latest.values()))).unbind(), strict=True))

    # ---- small parts of a step -----------------------------------------------------------------------------------

    @property
    def passes(self) -> Passes:
        """The networks' forward passes in the adversarial steps."""
        return compiled_passes() if self.compiled else Passes()

    @property
    def active_loss(self) -> AdversarialLoss:
        """The warm-up's loss until its end, then the configured one."""
        assert self.warmup_kimg is not None
        return self.warmup_loss if self.clock < self.warmup_kimg * 1000 else self.loss

    def _parts(self, count: int) -> int:
        """Backward passes for `count` images on this device."""
        return number_of_parts(count, self.micro_batch)

    @staticmethod
    def _calls(logits: Callable[[int], tuple[Tensor, ...]], parts: int) -> list[Callable[[], tuple[Tensor, ...]]]:
        return [partial(logits, k) for k in range(parts)]

    @contextmanager
    def _player(self, player: int) -> Iterator[None]:
        """Let gradients reach the parameters of one player (0 is G, 1 is D) only.

        DistributedDataParallel would average both players' gradients after every backward pass: `_step` does it.
        """
        optimizer = cast(list[LightningOptimizer], self.optimizers())[player]
        strategy = self.trainer.strategy
        self.toggle_optimizer(optimizer)
        with strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext():
            yield
        self.untoggle_optimizer(optimizer)

    def _float32(self) -> torch.autocast:
        return torch.autocast(self.device.type, enabled=False)

    def _step(self, player: int, value: Tensor, lightning: bool = True) -> None:
        """Average one player's gradients over the ranks, apply and clear them.

        Not where they or the loss `value` are not finite on some rank.

        Lightning counts the calls of its own optimizers' steps as `global_step`: only G's main step goes through it,
        so that one minibatch is one step. Adam skips the update by itself, without waiting for the device.
        """
        optimizer = cast(list[LightningOptimizer], self.optimizers())[player]
        raw = cast(Adam, optimizer.optimizer)
        gradients = [p.grad for group in raw.param_groups for p in group["params"] if p.grad is not None]
        average_over_ranks_(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = norm.isfinite() & mean_over_ranks(value).isfinite()
        raw.found_inf = (~finite).float()  # type: ignore[attr-defined]
        if player == 0 and lightning:
            optimizer.step()
        else:
            raw.step()
        raw.zero_grad()
        self.step_is_finite &= finite
        if lightning:
            self.latest[f"gradient_norm/{PLAYERS[player]}"] = norm.detach()
