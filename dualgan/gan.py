"""GAN: the two-player training step. No formula, no network and no metric lives here."""

from collections.abc import Callable
from functools import partial

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn

from dualgan.augment import Augmentation, NoAugmentation
from dualgan.auxiliary import AuxiliaryTask, StepView
from dualgan.auxiliary.base import Tasks
from dualgan.data.batches import Batch
from dualgan.losses import R1, R2, AdversarialLoss, GradientPenalty, NonSaturating
from dualgan.losses.heads import per_head
from dualgan.networks import DefaultDiscriminator, DefaultGenerator, Discriminator, Generator
from dualgan.networks.base import Drawn, Mixing
from dualgan.runtime.distributed import world_size
from dualgan.runtime.seeding import reseed
from dualgan.training.averaging import DEFAULT_HALF_LIFE, MovingAverage
from dualgan.training.cautions import all_cautions
from dualgan.training.checks import (
    check_batch,
    check_mapping,
    check_repeatable,
    check_settings,
    checked_warmup,
)
from dualgan.training.compilation import check_compiler, passes
from dualgan.training.convolutions import planned
from dualgan.training.critic import Critic
from dualgan.training.divergence import DivergenceError
from dualgan.training.labels import FakeLabels, LabelSource
from dualgan.training.microbatch import Means, backward_in_parts
from dualgan.training.optimizers import AdamOptions, of_players
from dualgan.training.players import Fakes
from dualgan.training.regularization import PathRegularization, Penalties
from dualgan.training.schedule import Scheduled, default_warmup_kimg
from dualgan.training.two_players import TwoPlayers

__all__ = ["GAN", "DivergenceError"]

G, D = 0, 1


class GAN(TwoPlayers):
    """Trains a generator against a discriminator; the defaults are the paper's StyleGAN2 config E protocol.

    Order in a step: G, G's path length, D, D's penalties, EMA. `images_seen` counts the real images that D saw in its
    main steps, over all devices, and is the only clock.

    Args:
        resolution: Width and height of the images in pixels; taken from the data on the command line.
        num_channels: 3 for colour, 1 for gray; taken from the data on the command line.
        num_classes: Number of classes, 0 is unconditional; taken from the data on the command line.
        generator: Class of the generator with its settings.
        discriminator: Class of the discriminator with its settings.
        loss: Adversarial loss; NonSaturating by default.
        augmentation: What D sees in place of the images; null is the images as they are.
        auxiliary: Losses beside the adversarial one, each a class with its settings; null is none.
        total_kimg: Length of the training in thousands of real images shown.
        learning_rate: Adam's learning rate for both players; a number or a schedule, such as class Cosine.
        betas: Adam's decay rates for both players; the second one may be a schedule.
        eps: Adam's epsilon for both players.
        generator_adam: What is different for G.
        discriminator_adam: What is different for D.
        d_steps: Steps of D, each on its own minibatch, per step of G.
        r1_gamma: Strength of the R1 penalty on real images; 0 turns it off. A number or a schedule.
        r2_gamma: Strength of the R2 penalty on generated images; 0 turns it off. A number or a schedule.
        gradient_penalty: Strength of the WGAN-GP penalty, 10 in its paper; 0 turns it off. A number or a schedule.
        d_reg_interval: Minibatches between steps for D's penalties alone, which are scaled up accordingly; 1 is such a
            step after every minibatch. null adds them to the loss of D's main step, with Adam's settings as they are.
        path_length_weight: Strength of G's path length penalty; 0 turns it off. A number or a schedule.
        g_reg_interval: The same for G's path length penalty, in steps of G.
        style_mixing: Probability that the later layers of a batch get the w of other z, from one crossover on.
        style_mixing_per_sample: Every sample draws its own crossover, and whether there is one.
        fake_labels: Classes of generated images: drawn from those of the data set, or those of the batch's real ones.
        ema_kimg: Half-life of the generator's moving average in thousands of images; a number or a schedule.
        ema_rampup: Bound the half-life by this fraction of the images seen so far; null for none.
        ema_decay: Decay of the moving average per step of G, in place of a half-life; null for none.
        ema_start_kimg: Until then the averaged generator is the trained one.
        warmup_kimg: Start with the non-saturating loss for this long; null is about 20 epochs, at most 6 % of the
            training, for losses that need it and 0 for the others.
        cooldown_kimg: Let both learning rates fall linearly to 0 over this long at the end of the training; 0 keeps
            them as they are, as the paper does.
        micro_batch: Images per device and backward pass; null is the whole batch of the device.
        compile: Run the networks under torch.compile in both adversarial steps, not in the penalties, which need
            second derivatives. Costs minutes at the start; the same training but for rounding.
        convolutions: Of training steps on a CPU: direct is PyTorch's operators, measured times alternatives and keeps
            the fastest of each, the convolutions.yaml of a run is what that one has kept.
        max_non_finite: Stop the run at the first log step (trainer.log_every_n_steps) after this many minibatches in a
            row with a non-finite loss or gradient.
        freeze_d: Blocks of D, from the image on, that keep the weights they start with (FreezeD); 0 is none.
        seed: Seed of everything random in the training; taken from seed_everything on the command line.

    Raises:
        ValueError: A setting is out of range or has no effect.
    """

    def __init__(
        self,
        resolution: int,
        num_channels: int = 3,
        num_classes: int = 0,
        generator: Callable[[int, int, int], Generator] = DefaultGenerator,
        discriminator: Callable[[int, int, int], Discriminator] = DefaultDiscriminator,
        loss: AdversarialLoss | None = None,
        augmentation: Augmentation | None = None,
        auxiliary: list[Callable[[Discriminator], AuxiliaryTask]] | None = None,
        total_kimg: float = 25_000,
        learning_rate: Scheduled = 0.002,
        betas: tuple[float, Scheduled] = (0.0, 0.99),
        eps: float = 1e-8,
        generator_adam: AdamOptions = AdamOptions(),  # noqa: B008  frozen
        discriminator_adam: AdamOptions = AdamOptions(),  # noqa: B008
        d_steps: int = 1,
        r1_gamma: Scheduled = 100.0,
        r2_gamma: Scheduled = 0.0,
        gradient_penalty: Scheduled = 0.0,
        d_reg_interval: int | None = 16,
        path_length_weight: Scheduled = 2.0,
        g_reg_interval: int | None = 4,
        style_mixing: float = 0.9,
        style_mixing_per_sample: bool = False,
        fake_labels: LabelSource = "dataset",
        ema_kimg: Scheduled = DEFAULT_HALF_LIFE,
        ema_rampup: float | None = None,
        ema_decay: float | None = None,
        ema_start_kimg: float = 0.0,
        warmup_kimg: float | None = None,
        cooldown_kimg: float = 0.0,
        micro_batch: int | None = None,
        compile: bool = False,
        convolutions: str = "direct",
        max_non_finite: int = 10,
        freeze_d: int = 0,
        seed: int = 0,
    ) -> None:
        adams = of_players(AdamOptions(learning_rate, betas, eps), generator_adam, discriminator_adam)
        check_settings(
            positive={
                "total_kimg": total_kimg, "ema_kimg": ema_kimg, "micro_batch": micro_batch, "d_steps": d_steps,
                "max_non_finite": max_non_finite, "d_reg_interval": d_reg_interval, "g_reg_interval": g_reg_interval,
                "ema_rampup": ema_rampup,
            },
            not_negative={
                "r1_gamma": r1_gamma, "r2_gamma": r2_gamma, "gradient_penalty": gradient_penalty,
                "path_length_weight": path_length_weight, "warmup_kimg": warmup_kimg,
                "cooldown_kimg": cooldown_kimg, "ema_start_kimg": ema_start_kimg,
            },
            probabilities={"style_mixing": style_mixing},
        )  # fmt: skip
        # Two runs with one seed start from the same weights, whatever was drawn before.
        reseed(seed, "weights")
        shape = (resolution, num_channels, num_classes)
        mixing = Mixing(style_mixing, style_mixing_per_sample)
        average = MovingAverage(ema_kimg, ema_rampup, ema_decay, ema_start_kimg, total_kimg)
        super().__init__(
            generator(*shape), discriminator(*shape), loss or NonSaturating(), mixing,
            FakeLabels(num_classes, fake_labels), seed, total_kimg, adams, average, cooldown_kimg, max_non_finite,
            micro_batch, freeze_d, convolutions,
        )  # fmt: skip
        check_mapping(self.generator, mixing, path_length_weight)
        check_repeatable(micro_batch, self.generator, self.discriminator)
        self.tasks = Tasks(make(self.discriminator) for make in auxiliary or ())
        self.warmup_loss = NonSaturating()
        self.warmup_kimg = checked_warmup(warmup_kimg, total_kimg, self.loss)
        self.d_steps, self.compiled = d_steps, compile
        penalties = (R1(), r1_gamma), (R2(), r2_gamma), (GradientPenalty(), gradient_penalty)
        self.penalties = Penalties(penalties, d_reg_interval)
        self.path_length = PathRegularization(path_length_weight, g_reg_interval)
        self.augmentation, self.passes = augmentation or NoAugmentation(), passes(compile)
        self.critic = Critic(self.discriminator, self.augmentation, self.passes, self.reseed)

    # ---- before training -----------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Check what only the trainer and the data know together, before anything is trained."""
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        size = data.dataset_size if data is not None else self.total_images
        guess = self.know_classes(data)
        if stage == "fit":
            if self.compiled:
                check_compiler(self.device.type)
            self.critic.prepare(self.total_images, self.loss)
            for caution in filter(None, (guess, *all_cautions(self, self.penalties, self.path_length))):
                rank_zero_warn(caution)
            if data is not None:
                group = self.discriminator.minibatch_std_group
                check_batch(data.batch_size, self.trainer.world_size, self.micro_batch, group)
                self.tasks.prepare(size * (1 + data.mirror), data.batch_size, self.total_images)
            elif self.tasks.sized_by_data:
                raise ValueError("auxiliary tasks are sized by the data: give Trainer.fit a data module")
        if self.warmup_kimg is None:
            self.warmup_kimg = default_warmup_kimg(size, self.total_images)

    def trained_modules(self) -> tuple[nn.Module, nn.Module]:
        """What G's and D's optimizer train."""
        return self.generator, nn.ModuleList([self.discriminator, self.tasks])

    def lazy_intervals(self) -> tuple[int | None, int | None]:
        """Steps of G and of D between their extra steps for lazy penalties; None without."""
        return self.path_length.lazy_interval, self.penalties.lazy_interval

    @property
    def active_loss(self) -> AdversarialLoss:
        """The warm-up's loss until its end, then the configured one."""
        assert self.warmup_kimg is not None
        return self.warmup_loss if self.clock < self.warmup_kimg * 1000 else self.loss

    # ---- the training step ---------------------------------------------------------------------------------------

    @planned
    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One minibatch of real images, float [N, C, R, R] in [-1, 1] per device, for both players."""
        images = len(batch.images) * world_size()
        minibatch = self.clock // images
        generators_turn = minibatch % self.d_steps == 0
        self.step_is_finite = torch.ones((), dtype=torch.bool, device=self.device)
        self.update_optimizers()
        if generators_turn:
            self.generator_step(batch)
            if self.path_length.due(minibatch // self.d_steps):
                self.path_length_step(batch)
        self.discriminator_step(batch)
        if self.penalties.due(minibatch):
            self.penalty_step(batch)
        self.synchronise_buffers()
        if generators_turn:
            self.update_ema(images * self.d_steps)
        self.advance(images)

    def generator_step(self, batch: Batch) -> None:
        """G's main step."""
        loss, parts, extra = self.active_loss, self.split(batch), Means()
        views: dict[int, StepView] = {}
        seen: dict[int, Drawn] = {}

        def logits(k: int) -> tuple[Tensor, ...]:
            real, labels, reference = parts[k]
            drawn = self.draw_styles(len(real), labels, "generator", k)
            fake = self.passes.synthesize(self.generator, drawn.styles)
            views.clear()
            views[k], seen[k] = self._view(parts[k], Fakes(fake, drawn), k), drawn
            fake_logits = self.critic.score(fake, drawn.labels, reference, "generator", k, "fake")
            if not loss.generator_needs_real:
                return fake_logits
            with torch.no_grad():
                return *fake_logits, *self.critic.score(real, labels, reference, "generator", k, "real")

        with self.player(G):
            value, _ = backward_in_parts(
                per_head(loss.generator, kinds=2 if loss.generator_needs_real else 1),
                [partial(logits, k) for k in range(len(parts))],
                self.manual_backward,
                also=lambda k: extra.add(self.tasks.generator_losses(views[k]), len(parts)),
            )
            self.generator.observe(list(seen.values()))
            self.latest["loss/generator"] = value
            if self.path_length.in_main_step:
                value = value + self.path_length.backward(self, batch)
            self.step(G, value)
        self.latest |= extra

    def discriminator_step(self, batch: Batch) -> None:
        """D's main step."""
        parts, extra = self.split(batch), Means()
        fakes = [self.draw_fakes(len(part.images), part.labels, "fakes", k) for k, part in enumerate(parts)]
        self.generator.observe([fake.drawn for fake in fakes])

        def logits(k: int) -> tuple[Tensor, ...]:
            real, labels, reference = parts[k]
            fake, drawn = fakes[k]
            real_logits, fake_logits = self.critic.pair(real, fake, labels, drawn.labels, reference, "discriminator", k)
            return *real_logits, *fake_logits

        def auxiliary(k: int) -> Tensor | None:
            return extra.add(self.tasks.discriminator_losses(self._view(parts[k], fakes[k], k)), len(parts))

        with self.player(D):
            value, heads = backward_in_parts(
                per_head(self.active_loss.discriminator, kinds=2),
                [partial(logits, k) for k in range(len(parts))],
                self.manual_backward,
                also=auxiliary,
            )
            self.latest["loss/discriminator"] = value
            if self.penalties.in_main_step:
                value = value + self.penalties.backward(self, batch, fakes)
            self.step(D, value)
        extra |= self.tasks.commit(self.step_is_finite, self.clock)
        real_logits, fake_logits = heads[0], heads[len(heads) // 2]
        self.latest |= {"logits/real": real_logits.mean(), "logits/fake": fake_logits.mean(), **extra}
        self.latest |= {f"contrast/{k}": v for k, v in self.loss.diagnostics(real_logits, fake_logits).items()}
        self.latest |= self.augmentation.observe(real_logits, fake_logits, self.step_is_finite, self.clock)

    def path_length_step(self, batch: Batch) -> None:
        """G's lazy regularization."""
        with self.player(G):
            self.step(G, self.path_length.backward(self, batch), main=False)

    def penalty_step(self, batch: Batch) -> None:
        """D's lazy regularization."""
        with self.player(D):
            self.step(D, self.penalties.backward(self, batch), main=False)

    def _view(self, part: Batch, fakes: Fakes, k: int) -> StepView:
        """What auxiliary tasks see of micro-batch k."""
        (real, labels, reference), (fake, drawn) = part, fakes
        return StepView(
            self.generator, self.discriminator,
            real, fake, labels, drawn.labels, reference, drawn.latents, k, self.clock,
            generate=lambda latents, purpose: self.fakes_of(latents, drawn.labels, f"auxiliary, {purpose}", k),
            augment=lambda shown, purpose: self.critic.augment(shown, f"auxiliary, {purpose}", k),
            noise=lambda like, purpose: self.noise(like, f"auxiliary, {purpose}", k),
            trunk=lambda shown, own, purpose: self.critic.trunk(shown, own, reference, f"auxiliary, {purpose}", k),
            logits=lambda seen, own, purpose: self.critic.logits(seen, own, reference, f"auxiliary, {purpose}", k),
        )  # fmt: skip
