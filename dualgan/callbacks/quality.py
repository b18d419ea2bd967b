"""Quality during training: distances between the averaged generator's images and real ones."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse.typing import extend_base_type
from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm

from dualgan.callbacks.clock import aside, check_interval, crossed
from dualgan.evaluation import BATCH_SIZE, Evaluation, evaluate, images_to_see
from dualgan.evaluation.features import available
from dualgan.evaluation.planning import Plan, plan_evaluations
from dualgan.evaluation.result import significant
from dualgan.files.trouble import interrupt_behind
from dualgan.gan import GAN
from dualgan.metrics.extractors import FeatureExtractor, find_extractor
from dualgan.metrics.names import SECTION
from dualgan.metrics.table import PUBLISHED_COUNT, check_least, kinds_of, spec_of, specs_of, usual_metrics
from dualgan.metrics.weights import named_by
from dualgan.runs.folder import run_folder
from dualgan.runs.loggers import log_scores
from dualgan.runs.metrics_jsonl import append_to_history
from dualgan.runtime.progress import Progress
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
        every_kimg: Thousands of images between evaluations; null takes what the length of the training allows.
        num_fake: Images to generate for an evaluation; null takes as many as there are real ones, 50000 at most, but
            in all evaluations no more than a tenth of the images that the training sees (and 250 or more).
        num_real: Real images to compare with, of those that the data's `reference` names; null takes all, once each
            (without num_fake as many as are generated), and a number draws from the mirrored ones too where the data
            has `mirror`. With 50000 generated images all are the published fid50k_full, and 50000 are fid50k.
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
        every_kimg: float | None = None,
        num_fake: int | None = None,
        num_real: int | None = None,
        extractor: Literal["auto", "inception_v3", "efficientnet_lite0"] = "auto",
        weights: str | None = None,
        batch_size: int = BATCH_SIZE,
        cache_dir: str | None = None,
        metrics: list[MetricName] | None = None,
        noise_mode: Literal["random", "const", "none"] = "random",
    ) -> None:
        self.every_kimg = None if every_kimg is None else check_interval(every_kimg, "quality")
        if batch_size < 1:
            raise ValueError(f"quality.batch_size {batch_size} is too small: give 1 or more")
        self.num_fake, self.num_real, self.batch_size, self.cache_dir = num_fake, num_real, batch_size, cache_dir
        self.metrics = kinds_of(usual_metrics() if metrics is None else metrics, _WITHOUT)
        if "frechet" not in self.metrics:
            raise ValueError(f"quality.metrics {metrics} lacks frechet, which chooses the best checkpoint: add it")
        check_least({kind: spec_of(kind).name for kind in self.metrics}, num_fake, num_real, "quality.")
        self.extractor_name, self.weights, self.noise_mode = extractor, weights, noise_mode
        self.extractor: FeatureExtractor | None = None
        self.history: list[tuple[float, dict[str, float]]] = []
        self.notes: dict[str, str] = {}  # on the last values
        self._plan: Plan | None = None
        self._once, self._noted = Once(), set[str]()

    @property
    def plan(self) -> Plan:
        """What is measured how often; known from the start of the training on."""
        assert self._plan is not None, "a verb has started"
        return self._plan

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the extractor before any training starts, so that a missing file costs no work; say what is planned."""
        self._prepare(trainer, pl_module)
        say(self._told(trainer, pl_module))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the extractor."""
        self._prepare(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the extractor."""
        self._prepare(trainer, pl_module)

    def _prepare(self, trainer: Trainer, gan: LightningModule) -> None:
        assert isinstance(gan, GAN)
        if self.extractor is None:
            with named_by("--quality.weights"):
                self.extractor = find_extractor(self.extractor_name, self.weights)
        if self._plan is None:
            size = trainer.datamodule.reference_set().dataset_size  # type: ignore[attr-defined]
            least = max(spec.least for spec in specs_of(self.metrics))
            settings = self.num_fake, self.num_real, self.every_kimg
            self._plan = plan_evaluations(*settings, size, gan.total_images, least)

    def _told(self, trainer: Trainer, gan: LightningModule) -> str:
        """The plan in a sentence, with the options that would change what nobody has chosen."""
        assert isinstance(gan, GAN)
        plan, size = self.plan, trainer.datamodule.reference_set().dataset_size  # type: ignore[attr-defined]
        reals = size if plan.num_real is None else plan.num_real
        of_all = f" of {size:,}" if reals < size else ""
        often = (
            f", every {plan.every_kimg:g} kimg and after" if plan.every_kimg * 1000 < gan.total_images else " and after"
        )
        line = f"Quality: {plan.num_fake:,} generated against {reals:,}{of_all} real images, before{often} the training"
        # without num_real all of them are compared, which is no choice where num_fake is given
        settings = {
            "num_fake": self.num_fake,
            "num_real": self.num_real or self.num_fake,
            "every_kimg": self.every_kimg,
        }
        free = [f"--quality.{name}" for name, value in settings.items() if value is None]
        return f"{line} (as the set and the length allow: {', '.join(free)} set it)." if free else f"{line}."

    @property
    def main_metric(self) -> str:
        """Name of the Frechet distance as it was logged last."""
        names = {SECTION + name for number in spec_of("frechet").numbers for name in number.reported_names}
        return next(name for name in self.history[-1][1] if any(fnmatchcase(name, known) for known in names))

    @property
    def protocol(self) -> str:
        """What its Frechet distances compare, in words: those of another protocol are no better or worse."""
        plan = self.plan
        return f"{self.main_metric}, {plan.num_fake} against {plan.num_real or 'all'}, noise {self.noise_mode}"

    def shown(self, value: float) -> str:
        """A Frechet distance with the digits that mean something."""
        return significant(value, 2) if self.remark else f"{value:.1f}"

    @property
    def remark(self) -> str:
        """What to know of the last Frechet distance where few images gave it, for the end of a sentence about it."""
        note = self.notes.get(self.main_metric.removeprefix(SECTION))
        return "" if note is None else f"; {note}"

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
        if crossed(pl_module, batch, self.plan.every_kimg) or pl_module.clock >= pl_module.total_images:
            self._log(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score for `dualgan validate`."""
        self._score_stage(trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score for `dualgan test`."""
        self._score_stage(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The scores so far, and what they compare."""
        plan = None if self._plan is None else asdict(self._plan)
        return {"history": [[kimg, values] for kimg, values in self.history], "plan": plan}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the scores of a resumed run back, and go on with what it has chosen; new settings win."""
        self.history = [(kimg, values) for kimg, values in state_dict["history"]]
        if plan := state_dict.get("plan"):
            settings = {"num_fake": self.num_fake, "num_real": self.num_real, "every_kimg": self.every_kimg}
            self._plan = Plan(**plan | {name: value for name, value in settings.items() if value is not None})

    def _score_stage(self, trainer: Trainer, gan: LightningModule) -> None:
        assert isinstance(gan, GAN)
        if trainer.state.fn == "fit":
            return  # a validation loop inside of fit: training has its own schedule
        scores = self._evaluate(trainer, gan)
        gan.log_dict({f"metrics/{name}": value for name, value in scores.values.items()})
        self._say_notes(scores)
        self._record(trainer, int(gan.images_seen) / 1000, scores)

    def _log(self, trainer: Trainer, gan: GAN) -> None:
        kimg, start = gan.clock / 1000, time.perf_counter()
        try:
            with aside(trainer):
                scores = self._evaluate(trainer, gan)
        except Exception as error:  # whatever breaks here, hours of training must not be lost over it
            if interrupt := interrupt_behind(error):
                raise interrupt from error
            if kimg == 0 and isinstance(error, ValueError):
                raise  # nothing has been trained yet, and the settings are wrong
            logger.warning("No scores at %g kimg (%s: %s): going on.", kimg, type(error).__name__, error)
            return
        values = {f"metrics/{name}": value for name, value in scores.values.items()}
        self.history.append((kimg, values))
        log_scores(trainer, values, kimg)
        took = tqdm.format_interval(max(0.0, time.perf_counter() - start))
        say(f"{kimg:g} kimg: {', '.join(f'{name} {self._shown(scores, name)}' for name in scores.values)} ({took})")
        self._say_notes(scores)
        self._record(trainer, kimg, scores)

    @staticmethod
    def _shown(scores: Evaluation, name: str) -> str:
        return scores.shown(name, 4) + (" from few images" if name in scores.notes else "")

    def _say_notes(self, scores: Evaluation) -> None:
        """Say what to know of the numbers, each thing once."""
        self.notes = scores.notes
        for name, note in scores.notes.items():
            if f"{name}: {note}" not in self._noted:
                self._noted.add(f"{name}: {note}")
                say(f"{name}: {note}.")

    @staticmethod
    def _record(trainer: Trainer, kimg: float, scores: Evaluation) -> None:
        """Keep the numbers with where they come from."""
        if not trainer.is_global_zero:
            return
        assert trainer.state.fn is not None
        append_to_history(run_folder(trainer), trainer.state.fn.value, kimg, scores)

    def _evaluate(self, trainer: Trainer, gan: GAN) -> Evaluation:
        assert self.extractor is not None
        num_fake, num_real = self.plan.num_fake, self.plan.num_real
        reference = trainer.datamodule.reference_set(num_real)  # type: ignore[attr-defined]
        size = reference.dataset_size
        total = images_to_see(self.metrics, num_fake, min(num_real or size, size))
        gan.settle()
        with Progress("Evaluating", total, shown=trainer.is_global_zero) as shown, self._warnings_once():
            return evaluate(
                gan.generator_ema,
                reference,
                self.extractor,
                num_fake=num_fake,
                # 50000 stays what was asked for: the name of the number says so
                num_real=num_real if num_real in (None, PUBLISHED_COUNT) else available(num_real, size),
                batch_size=self.batch_size,
                metrics=self.metrics,
                noise_mode=self.noise_mode,
                ema=True,
                device=gan.device,
                cache_dir=self.cache_dir,
                progress=shown.update,
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
