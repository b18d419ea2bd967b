"""Quality during training: distances between the averaged generator's images and real ones."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse.typing import extend_base_type
from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm

from dualgan.callbacks.clock import check_interval, crossed
from dualgan.evaluation import BATCH_SIZE, NUM_FAKE, Evaluation, evaluate, images_to_see
from dualgan.evaluation.features import available
from dualgan.gan import GAN
from dualgan.metrics.extractors import FeatureExtractor, find_extractor
from dualgan.metrics.names import SECTION
from dualgan.metrics.table import PUBLISHED_COUNT, kinds_of, spec_of, usual_metrics
from dualgan.metrics.weights import named_by
from dualgan.runs.folder import run_folder
from dualgan.runs.loggers import log_scores
from dualgan.runs.metrics_jsonl import append_to_history
from dualgan.terminal.console import Once, say

logger = logging.getLogger(__name__)

_WITHOUT = "measure it with 'dualgan evaluate'"  # what a training cannot

if TYPE_CHECKING:
    MetricName = str
else:  # a configuration's mistake is found before the images are prepared
    MetricName = extend_base_type("MetricName", str, lambda kind, name: kinds_of([name], _WITHOUT))


class Quality(Callback):
    """Logs distances of the averaged generator's images to real ones, before, during and after training.

    Args:
        every_kimg: Thousands of images between evaluations.
        num_fake: Images to generate for an evaluation.
        num_real: Real images to compare with, of those that the data's `reference` names; null takes all, once each,
            and a number draws from the mirrored ones too where the data has `mirror`. With 50000 generated images
            that is the published fid50k_full, and with 50000 real ones fid50k.
        extractor: Feature extractor. "auto" is Inception-v3 where its weights are found, which gives FID and KID;
            EfficientNet-Lite0 otherwise, whose distances have names of their own.
        weights: File with the extractor's weights; null looks in the usual places.
        batch_size: Images per batch and device.
        cache_dir: Folder for the features of real images; null is $DUALGAN_CACHE or ~/.cache/dualgan.
        metrics: What to measure: names as for `dualgan evaluate --metrics`, of metrics that need images only, or of
            their numbers. "fid" (its number is "frechet") must be among them; null is fid and kid.
        noise_mode: "random" draws the generator's noise anew, as published protocols do; "const" repeats one noise.
    """

    def __init__(
        self,
        every_kimg: float = 200.0,
        num_fake: int = NUM_FAKE,
        num_real: int | None = None,
        extractor: Literal["auto", "inception_v3", "efficientnet_lite0"] = "auto",
        weights: str | None = None,
        batch_size: int = BATCH_SIZE,
        cache_dir: str | None = None,
        metrics: list[MetricName] | None = None,
        noise_mode: Literal["random", "const", "none"] = "random",
    ) -> None:
        self.every_kimg = check_interval(every_kimg, "quality")
        for name, number in (("num_fake", num_fake), ("num_real", num_real)):
            if number is not None and number < 2:
                raise ValueError(f"quality.{name} {number} is too small: distances need at least 2 images")
        if batch_size < 1:
            raise ValueError(f"quality.batch_size {batch_size} is too small: give 1 or more")
        self.num_fake, self.num_real, self.batch_size, self.cache_dir = num_fake, num_real, batch_size, cache_dir
        self.metrics = kinds_of(usual_metrics() if metrics is None else metrics, _WITHOUT)
        if "frechet" not in self.metrics:
            raise ValueError(f"quality.metrics {metrics} lacks frechet, which chooses the best checkpoint: add it")
        self.extractor_name, self.weights, self.noise_mode = extractor, weights, noise_mode
        self.extractor: FeatureExtractor | None = None
        self.history: list[tuple[float, dict[str, float]]] = []
        self._once = Once()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the extractor before any training starts, so that a missing file costs no work."""
        self._find_extractor()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the extractor."""
        self._find_extractor()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the extractor."""
        self._find_extractor()

    def _find_extractor(self) -> None:
        if self.extractor is None:
            with named_by("--quality.weights"):
                self.extractor = find_extractor(self.extractor_name, self.weights)

    @property
    def main_metric(self) -> str:
        """Name of the Frechet distance as it was logged last."""
        names = {SECTION + name for number in spec_of("frechet").numbers for name in number.reported_names}
        return next(name for name in self.history[-1][1] if any(fnmatchcase(name, known) for known in names))

    @property
    def protocol(self) -> str:
        """What its Frechet distances compare, in words: those of another protocol are no better or worse."""
        return f"{self.main_metric}, {self.num_fake} against {self.num_real or 'all'}, noise {self.noise_mode}"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the untrained generator."""
        assert isinstance(pl_module, GAN)
        if pl_module.clock == 0:
            self._log(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Score where it is due, and at the end."""
        assert isinstance(pl_module, GAN)
        if crossed(pl_module, batch, self.every_kimg) or pl_module.clock >= pl_module.total_images:
            self._log(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score for `dualgan validate`."""
        self._score_stage(trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score for `dualgan test`."""
        self._score_stage(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The scores so far."""
        return {"history": [[kimg, values] for kimg, values in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the scores of a resumed run back."""
        self.history = [(kimg, values) for kimg, values in state_dict["history"]]

    def _score_stage(self, trainer: Trainer, gan: LightningModule) -> None:
        assert isinstance(gan, GAN)
        if trainer.state.fn == "fit":
            return  # a validation loop inside of fit: training has its own schedule
        scores = self._evaluate(trainer, gan)
        gan.log_dict({f"metrics/{name}": value for name, value in scores.values.items()})
        self._record(trainer, int(gan.images_seen) / 1000, scores)

    def _log(self, trainer: Trainer, gan: GAN) -> None:
        kimg = gan.clock / 1000
        try:
            scores = self._evaluate(trainer, gan)
        except Exception as error:  # whatever breaks here, hours of training must not be lost over it
            if kimg == 0 and isinstance(error, ValueError):
                raise  # nothing has been trained yet, and the settings are wrong
            logger.warning("No scores at %g kimg (%s: %s): going on.", kimg, type(error).__name__, error)
            return
        values = {f"metrics/{name}": value for name, value in scores.values.items()}
        self.history.append((kimg, values))
        log_scores(trainer, values, kimg)
        say(f"{kimg:g} kimg: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.values.items()))
        self._record(trainer, kimg, scores)

    @staticmethod
    def _record(trainer: Trainer, kimg: float, scores: Evaluation) -> None:
        """Keep the numbers with where they come from."""
        if not trainer.is_global_zero:
            return
        assert trainer.state.fn is not None
        append_to_history(run_folder(trainer), trainer.state.fn.value, kimg, scores)

    def _evaluate(self, trainer: Trainer, gan: GAN) -> Evaluation:
        assert self.extractor is not None
        reference = trainer.datamodule.reference_set(self.num_real)  # type: ignore[attr-defined]
        size = reference.dataset_size
        total = images_to_see(self.metrics, self.num_fake, min(self.num_real or size, size))
        hidden = not trainer.is_global_zero or not sys.stderr.isatty()
        with (
            tqdm(total=total, desc="Evaluating", unit="img", leave=False, disable=hidden) as bar,
            self._warnings_once(),
        ):
            return evaluate(
                gan.generator_ema,
                reference,
                self.extractor,
                num_fake=self.num_fake,
                # 50000 stays what was asked for: the name of the number says so
                num_real=self.num_real if self.num_real in (None, PUBLISHED_COUNT) else available(self.num_real, size),
                batch_size=self.batch_size,
                metrics=self.metrics,
                noise_mode=self.noise_mode,
                ema=True,
                device=gan.device,
                cache_dir=self.cache_dir,
                progress=bar.update,
            )

    @contextmanager
    def _warnings_once(self) -> Iterator[None]:
        """Let what every evaluation would warn about be said by the first one."""
        source = logging.getLogger("dualgan.evaluation")
        source.addFilter(self._once)
        try:
            yield
        finally:
            source.removeFilter(self._once)
