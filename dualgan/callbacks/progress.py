"""A progress bar in kimg, with images/s and the time that is left."""

import math
import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from dualgan.callbacks.clock import TimesTraining
from dualgan.gan import GAN
from dualgan.runs.loggers import log_speed
from dualgan.terminal.console import say


class KimgProgressBar(TimesTraining, TQDMProgressBar):
    """Shows thousands of images instead of batches, and logs images/s once a minute.

    Where the output is a file, it gets a line per minute instead of a bar. Images/s and the time left are those of
    training, waits for images included; the time of evaluations, pictures and checkpoints is told beside them.
    """

    TRAIN_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n:.{digits}f}/{total:g} kimg [{elapsed}{postfix}]"
    SECONDS_BETWEEN_LINES = 60.0

    def __init__(self) -> None:
        self.on_terminal = sys.stdout.isatty()
        super().__init__(refresh_rate=1 if self.on_terminal else 0)
        self._seconds, self._images = 0.0, 0
        self._mark: float | None = None  # time up to which training has been counted
        self._aside = 0.0  # what was aside up to then
        self._shown, self._logged = 0.0, -math.inf  # when that was

    def init_train_tqdm(self) -> Tqdm:
        """One bar for the whole training, over kimg."""
        gan = self.trainer.lightning_module
        assert isinstance(gan, GAN)
        total = gan.total_images / 1000
        return Tqdm(
            desc="Training",
            total=total,
            initial=gan.clock / 1000,
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stdout,
            mininterval=0,
            bar_format=self.TRAIN_FORMAT.replace("{digits}", "1" if total >= 10 else "3"),
        )

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Keep the bar: a GAN has no epochs worth showing."""

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Start the stopwatch with the first step."""
        if self._mark is None:
            self._mark, self._aside = time.perf_counter(), self.seconds_aside

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the stopwatch; show the state where it is time."""
        assert isinstance(pl_module, GAN)
        assert self._mark is not None
        now = time.perf_counter()
        self._seconds += max(0.0, now - self._mark - (self.seconds_aside - self._aside))
        self._mark, self._aside = now, self.seconds_aside
        self._images += len(batch.images) * trainer.world_size
        if pl_module.clock >= pl_module.total_images:
            return  # the end comes next, and shows it
        if abs(now - self._shown) > (1 if self.on_terminal else self.SECONDS_BETWEEN_LINES):
            self._show(trainer, pl_module)
            self._shown = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time: a validation inside of a training is none of it."""
        super().on_validation_start(trainer, pl_module)
        self._validation_began = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count its time."""
        super().on_validation_end(trainer, pl_module)
        self.seconds_aside += max(0.0, time.perf_counter() - self._validation_began)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last state."""
        assert isinstance(pl_module, GAN)
        if self._images:
            self._show(trainer, pl_module, last=True)

    def _show(self, trainer: Trainer, gan: GAN, last: bool = False) -> None:
        if not self._seconds:
            return
        speed = self._images / self._seconds
        if self._seconds > 30:  # a moving window, so that the number follows the machine
            self._images, self._seconds = self._images // 2, self._seconds / 2
        now = time.perf_counter()
        if last or abs(now - self._logged) > self.SECONDS_BETWEEN_LINES:
            log_speed(trainer, speed, gan.clock / 1000)
            self._logged = now
        bar = self.train_progress_bar
        bar.n = min(gan.clock, gan.total_images) / 1000
        state = f"{speed:.1f} images/s, {Tqdm.format_interval((gan.total_images - bar.n * 1000) / speed)} left"
        if self.on_terminal:
            bar.set_postfix_str(state, refresh=True)
        else:
            say(f"Training: {bar.n:g}/{gan.total_images / 1000:g} kimg, {state}")
        if last:
            beside = Tqdm.format_interval(self.seconds_aside)
            say(f"Evaluations, pictures and checkpoints took {beside} beside the training.")
