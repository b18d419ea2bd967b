"""Everything around the two-player step: optimizers, moving average, clock, logging and divergence."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies.parallel import ParallelStrategy
from torch import Tensor, nn
from torch.optim import Adam

from dualgan.auxiliary.queue import check_times
from dualgan.data.batches import Batch
from dualgan.losses import AdversarialLoss
from dualgan.networks import Discriminator, Generator
from dualgan.networks.base import Mixing
from dualgan.runtime.distributed import average_over_ranks_, mean_over_ranks
from dualgan.runtime.process import flush_denormals
from dualgan.terminal.console import say
from dualgan.training.averaging import MovingAverage, follow_
from dualgan.training.checks import check_growth, check_precision
from dualgan.training.convolutions import Convolutions
from dualgan.training.critic import Critic
from dualgan.training.divergence import Divergence
from dualgan.training.freezing import freeze, refit_adam, worth_keeping
from dualgan.training.labels import FakeLabels
from dualgan.training.microbatch import number_of_parts, strided
from dualgan.training.optimizers import AdamOptions, forget, step_together
from dualgan.training.players import Players
from dualgan.training.schedule import cooldown_factor, is_due

PLAYERS = ("generator", "discriminator")


class TwoPlayers(Players):
    """Players that are trained, one at a time.

    Args:
        generator: G.
        discriminator: D.
        loss: Adversarial loss.
        mixing: Style mixing.
        fake_labels: Where the classes of generated images come from.
        seed: Seed of everything random.
        total_kimg: Length of the training in thousands of real images.
        adams: Adam of G and of D.
        average: How the averaged generator follows.
        cooldown_kimg: Let both learning rates fall linearly to 0 over this long at the end of the training.
        max_non_finite: Minibatches in a row with a non-finite loss or gradient that stop the run.
        micro_batch: Images per device and backward pass; None is the whole batch of the device.
        freeze_d: Blocks of D, from the image on, that are not trained.
        convolutions: How training steps compute convolutions on a CPU.
    """

    path_length_mean: Tensor
    critic: Critic

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss,
        mixing: Mixing,
        fake_labels: FakeLabels,
        seed: int,
        total_kimg: float,
        adams: tuple[AdamOptions, AdamOptions],
        average: MovingAverage,
        cooldown_kimg: float,
        max_non_finite: int,
        micro_batch: int | None,
        freeze_d: int = 0,
        convolutions: str = "direct",
    ) -> None:
        super().__init__(generator, discriminator, loss, mixing, fake_labels, seed)
        freeze(discriminator, freeze_d)
        check_growth(generator, discriminator)
        self.freeze_d, self.convolutions = freeze_d, Convolutions(convolutions)
        self.thawed: list[str] = []  # parameters of D's frozen blocks that are trained: they had no weights to keep
        self.automatic_optimization = False
        self.total_images = round(total_kimg * 1000)
        self.adams, self.average, self.cooldown_kimg = adams, average, cooldown_kimg
        self.micro_batch = micro_batch
        self.divergence = Divergence(max_non_finite)
        self.register_buffer("path_length_mean", torch.zeros(()))
        self.latest: dict[str, Tensor] = {}
        self.step_is_finite: Tensor

    def setup(self, stage: str) -> None:
        """Prepare the process, and refuse a precision that cannot be."""
        flush_denormals()
        check_precision(self.trainer.precision)

    def trained_modules(self) -> tuple[nn.Module, nn.Module]:
        """What G's and D's optimizer train."""
        return self.generator, self.discriminator

    def lazy_intervals(self) -> tuple[int | None, int | None]:
        """Steps of G and of D between their extra steps for lazy penalties; None without."""
        return None, None

    def split(self, batch: Batch) -> list[Batch]:
        """The micro-batches of this device."""
        parts = number_of_parts(len(batch.images), self.micro_batch)
        own = self.as_seen(batch)
        return [Batch(*strided(k, parts, *own)) for k in range(parts)]

    # ---- frozen blocks of D --------------------------------------------------------------------------------------

    def freeze_what_came_from(self, path: str, anew: Collection[str]) -> None:
        """Train what a file did not give, the parameters `anew` of D, in frozen blocks too.

        Raises:
            ValueError: It gave nothing of these blocks.
        """
        self.thawed = worth_keeping(self.discriminator, self.freeze_d, anew, path)
        freeze(self.discriminator, self.freeze_d, self.thawed)
        if self.thawed:
            say(f"freeze_d {self.freeze_d}: {', '.join(self.thawed)} start anew, and so are trained and not frozen")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is trained in frozen blocks, and how convolutions are computed."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["convolutions"] = self.convolutions.plain()
        if self.thawed:
            checkpoint["thawed"] = self.thawed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Freeze what this configuration says, whatever was frozen when the checkpoint was saved.

        Raises:
            ValueError: As for `Players`.
        """
        super().on_load_checkpoint(checkpoint)
        if self.trainer.state.fn != "fit" or "optimizer_states" not in checkpoint:
            return
        self.convolutions.take_back(checkpoint.get("convolutions"))
        self.thawed = list(checkpoint.get("thawed", ()))
        freeze(self.discriminator, self.freeze_d, self.thawed)
        own = len(list(self.discriminator.parameters()))
        others = sum(p.requires_grad for p in list(self.trained_modules()[1].parameters())[own:])
        adam = checkpoint["optimizer_states"][1]
        before = refit_adam(adam, self.discriminator, others, self.freeze_d, self.thawed)
        if before is not None:
            names = self.discriminator.blocks
            if self.freeze_d > before:
                said = f"{', '.join(names[before : self.freeze_d])} of D stay as they are now"
            else:
                said = f"{', '.join(names[self.freeze_d : before])} of D are trained again, with new moments"
            say(f"freeze_d was {before} and is {self.freeze_d}: from here on {said}.")

    # ---- optimizers ----------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> list[Adam]:
        """Adam for each player, corrected for the extra steps of its lazy regularization."""
        return [
            Adam((p for p in module.parameters() if p.requires_grad), fused=True, **self._adam_settings(player))
            for player, module in enumerate(self.trained_modules())
        ]

    def _adam_settings(self, player: int) -> dict[str, Any]:
        factor = cooldown_factor(self.clock, self.total_images, self.cooldown_kimg)
        return self.adams[player].at(self.clock, self.lazy_intervals()[player], factor)

    def update_optimizers(self) -> None:
        """Give growing networks their form of this time, and the optimizers the settings of it."""
        self._grow()
        for player, optimizer in enumerate(self.trainer.optimizers):
            for group in optimizer.param_groups:
                group.update(self._adam_settings(player))

    # Adam starts anew with every set of layers, as in the published trainings
    def _grow(self) -> None:
        grown = [n.growing.move_to(self.clock) for n in self.networks() if n.growing is not None]
        if any(grown):
            for optimizer in self.trainer.optimizers:
                forget(cast(Adam, optimizer))

    def _optimizer(self, player: int) -> LightningOptimizer:
        return cast(list[LightningOptimizer], self.optimizers())[player]

    @contextmanager
    def player(self, player: int) -> Iterator[None]:
        """Let gradients reach the parameters of one player (0 is G, 1 is D) only.

        DistributedDataParallel would average both players' gradients after every backward pass: `step` does it.
        """
        strategy = self.trainer.strategy
        self.toggle_optimizer(self._optimizer(player))
        with strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext():
            yield
        self.untoggle_optimizer(self._optimizer(player))

    def step(self, player: int, value: Tensor, main: bool = True) -> None:
        """Average one player's gradients over the ranks, apply and clear them.

        Not where they or the loss `value` are not finite on some rank.

        Lightning counts the calls of its own optimizers' steps as `global_step`: only D's main step goes through it,
        so that one minibatch is one step.
        """
        optimizer = self._optimizer(player)
        raw = cast(Adam, optimizer.optimizer)
        norm, finite = step_together(raw, value, optimizer.step if player == 1 and main else raw.step)
        self.step_is_finite &= finite
        if main:
            self.latest[f"gradient_norm/{PLAYERS[player]}"] = norm

    def float32(self) -> torch.autocast:
        """Compute penalties in full precision."""
        return torch.autocast(self.device.type, enabled=False)

    # ---- clock, average, log -------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Take the clock from the restored buffer, and refuse a plan of convolutions that cannot be.

        Raises:
            ValueError: There is no such plan.
        """
        self.clock = int(self.images_seen)
        self.convolutions.prepare()

    def on_train_start(self) -> None:
        """Take the optimizer settings from this run's configuration: restored ones bring the old run's back.

        Raises:
            ValueError: What was restored is not of the time that the clock shows.
        """
        self.update_optimizers()
        check_times(self, self.clock)
        if self.clock >= self.total_images:
            self.trainer.should_stop = True  # a finished run was resumed

    def update_ema(self, images: int) -> None:
        """Move the averaged generator after a step of G, which `images` real images make up."""
        follow_(self.generator_ema, self.generator, self.average.decay(images, self.clock))

    def advance(self, images: int) -> None:
        """Move the clock, count non-finite steps, log at the trainer's interval and at the end, and stop there."""
        self.clock += images
        self.images_seen.fill_(self.clock)
        self.divergence.count(self.step_is_finite)
        complete = self.clock >= self.total_images
        interval: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # 0 is never
        if complete or (interval and is_due(self.trainer.global_step, interval)):
            self.log_step()
            self.divergence.check(self.clock / 1000)
        if complete:
            self.trainer.should_stop = True

    def log_step(self) -> None:
        """Send the latest values to all loggers, under the number of steps that have been taken; all ranks call it.

        Left to Lightning, a row would be numbered from 0, come after scores of its own step, and be repeated wherever
        a signal stops the training.
        """
        values = {**self.latest_over_ranks(), "train/non_finite": self.divergence.total.float()}
        self.log_dict({"kimg": self.clock / 1000, **values}, logger=False)  # for callbacks such as EarlyStopping
        row = dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))
        for logger in self.trainer.loggers:
            logger.log_metrics({"kimg": self.clock / 1000, **row}, step=self.trainer.global_step)
            logger.save()

    def latest_over_ranks(self) -> dict[str, Tensor]:
        """The latest values to log, averaged over all ranks; all of them must call it."""
        if not self.latest:
            return {}
        return dict(zip(self.latest, mean_over_ranks(torch.stack(list(self.latest.values()))).unbind(), strict=True))

    def synchronise_buffers(self) -> None:
        """Average what the calls of networks that are not repeatable have moved, so that all ranks hold the same."""
        moved = [network for network in (self.generator, self.discriminator) if not network.repeatable]
        average_over_ranks_([b for network in moved for b in network.buffers() if b.is_floating_point()])
