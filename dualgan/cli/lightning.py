"""LightningCLI for GANs: the run's folder, loggers, precision, devices and checkpoints by name."""

import copy
import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import Logger

from dualgan.callbacks import (
    AttentionMaps,
    ConvolutionPlan,
    KimgProgressBar,
    MarginWarning,
    Predictions,
    Quality,
    RankConsistency,
    RunCheckpoint,
    SampleGrid,
    Signals,
)
from dualgan.callbacks.ranks import RankMismatchError
from dualgan.cli.parser import Parser
from dualgan.cli.precision import faster_precision, precision_so_far
from dualgan.cli.settings import check_networks, check_trainer, chosen_seed, fit_to_machine
from dualgan.data import ImageDataModule
from dualgan.evaluation.change import NOTHING_MEASURED, scores_in_words
from dualgan.files.atomic import write_whole
from dualgan.gan import GAN
from dualgan.runs.failures import StoppedError, alone_in, explained, fit_again, how_to_go_on, working_in
from dualgan.runs.folder import (
    CHECKPOINTS,
    CONFIG,
    LAST,
    default_run_dir,
    holds_run,
    last_of,
    refuse_to_overwrite,
    resolve_checkpoint,
    run_folder,
)
from dualgan.runs.going_on import about_existing_run, about_unfit_checkpoint, nothing_to_do
from dualgan.runs.limits import without_limits
from dualgan.runs.metrics_csv import MetricsFile
from dualgan.runs.retention import complete_save
from dualgan.runs.tensorboard import check_tensorboard, tensorboard_logger
from dualgan.runs.wandb_logger import WandbOptions, wandb_logger
from dualgan.runtime.private_parts import actions_of
from dualgan.runtime.process import pages_shared_with_forks
from dualgan.terminal.console import harmless, is_rank_zero, quiet_libraries, say
from dualgan.terminal.messages import MistakeError, explain, name_the_file
from dualgan.training.checks import check_precision
from dualgan.training.convolutions import MEASURED
from dualgan.training.initial_weights import start_from
from dualgan.weights.checkpoints import NETWORK_FILES, UnfitCheckpointError

C = TypeVar("C", bound=Callback)

SECTIONS: dict[str, type] = {
    "quality": Quality,
    "samples": SampleGrid,
    "attention_maps": AttentionMaps,
    "ranks": RankConsistency,
    "checkpoints": RunCheckpoint,
    "predictions": Predictions,
}

CKPT_PATH_HELP = (
    "Checkpoint to go on from: a FILE, or last or best for RUN_DIR/checkpoints/last.ckpt or best.ckpt; for fit also "
    "auto, which is last where there is one and a new run otherwise, as the script of a job that is requeued wants it"
)


class RunConfig(SaveConfigCallback):
    """Writes config.yaml into the folder of a training run; sends it to the loggers and the checkpoints."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the run's files alone: the checkpoint to go on from may not fit this configuration."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save for `fit` only, the other verbs read the file; a checkpoint has been found to fit by now."""
        super().setup(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file, on rank zero; checkpoints are written there too."""
        text, config = plain_config(self.parser, self.config)
        write_whole(run_folder(trainer) / CONFIG, text.encode())
        for callback in callbacks_of(trainer, RunCheckpoint):
            callback.config = config
        for logger in trainer.loggers:
            logger.log_hyperparams(config)


class DualGANCLI(LightningCLI):
    """The four trainer verbs.

    What holds for this call only (the run's folder, the checkpoint, how the verb validates) never enters the
    configuration: config.yaml of a run works for every verb and wherever the folder is moved.

    Args:
        verb: The one verb to build a parser for: all four would take four times as long.
        settings: As for LightningCLI.
    """

    def __init__(self, verb: str, **settings: Any) -> None:
        self.verb, self.words = verb, settings["args"]
        super().__init__(**settings)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the verb, with the arguments of the trainer's method that are not options."""
        return {self.verb: LightningCLI.subcommands()[self.verb]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's folder, W&B and the callbacks' sections; connect data, seed and model."""
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="Folder of the run: config.yaml, metrics.csv, samples/, checkpoints/. By default runs/NAME_OF_CONFIG "
            "(several are joined by +), or with --config RUN/config.yaml of a run the folder RUN",
        )
        parser.add_argument(
            "--init_from",
            type=str | None,
            default=None,
            help="Start `fit` from the networks of this file: .ckpt of a run, .safetensors of `dualgan export` or "
            "`import`, or official .pkl; of a run's folder the last checkpoint; or of the pretrained network of this "
            "name ('dualgan pretrained' lists them). The clock starts at 0; a run that goes on with --ckpt_path reads "
            "it no more",
        )
        parser.add_argument(
            "--tensorboard",
            type=bool | None,
            default=None,
            help="Whether to write numbers and pictures for TensorBoard too, into RUN_DIR/tensorboard; needs "
            "pip install 'dualgan[tensorboard]'",
        )
        parser.add_class_arguments(WandbOptions, "wandb")
        for section, callback in SECTIONS.items():
            parser.add_lightning_class_args(callback, section)
        loss = {"class_path": "dualgan.losses.NonSaturating"}
        parser.set_defaults({"model.loss": loss, "model.convolutions": MEASURED})
        for name in ("resolution", "num_channels", "num_classes"):
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser: LightningArgumentParser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        for action in actions_of(parser):
            if action.dest == "ckpt_path":
                action.help = CKPT_PATH_HELP
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the words that `main` was given, whatever the process was started with."""
        try:
            self.config = parser.parse_args(args)
        except MistakeError as error:
            raise ValueError(name_the_file(error, args)) from error

    def _parse_ckpt_path(self) -> None:
        """Leave the command line alone: Lightning would lay a checkpoint's hyperparameters over it."""

    def _set_seed(self) -> None:
        """Draw the seed where it was left to chance; the links have passed it on when it still was `true`."""
        config = self._options
        self.seed_is_drawn = config.seed_everything is True
        config.seed_everything = chosen_seed(config.seed_everything)
        seed_everything(config.seed_everything, workers=True, verbose=False)
        config.model.seed = config.seed_everything
        config.data.init_args.seed = config.seed_everything

    @property
    def _options(self) -> Namespace:
        options: Namespace = self.config[self.subcommand]
        return options

    def before_instantiate_classes(self) -> None:
        """Fill in what depends on the machine or on other settings, and refuse what cannot work."""
        config = self._options
        check_precision(config.trainer.precision)
        check_trainer(config.trainer)
        check_networks(config.model)
        fit_to_machine(config.trainer)
        self.run_dir = Path(config.run_dir or default_run_dir(config.config))
        wanted = config.ckpt_path or (None if self.subcommand == "fit" else "last")
        if wanted == "auto" and self.subcommand != "fit":
            raise ValueError(f"--ckpt_path auto is for fit: {self.subcommand} needs a checkpoint, for instance last")
        self.ckpt_path = resolve_checkpoint(wanted, self.run_dir)
        if config.trainer.precision is None:  # on a CPU with bfloat16, see fit_to_machine
            config.trainer.precision = precision_so_far(str(self.subcommand), self.ckpt_path, self.run_dir)
        config.run_dir = config.ckpt_path = None
        if self.subcommand == "fit":
            if config.tensorboard:
                check_tensorboard()
            refuse_to_overwrite(self.run_dir, self.ckpt_path)
            if config.init_from is not None and self.ckpt_path is None:
                config.init_from = last_of(config.init_from, f"a {NETWORK_FILES}")
            self._look_at_existing_run()
        say(f"Reading the images ({config.data.class_path.rpartition('.')[2]})")

    def _look_at_existing_run(self) -> None:
        """Refuse to begin where a run is; end here, with success, where the one to go on with is as far as asked for.

        Raises:
            ValueError: There is a run and no checkpoint was given.
            SystemExit: There is nothing to do.
        """
        if self.ckpt_path is not None:
            text = nothing_to_do(self.run_dir, self.ckpt_path, self._plain_config()[1])
            if text is None:
                return
            if is_rank_zero() and holds_run(self.run_dir):
                with alone_in(self.run_dir):
                    complete_save(self.run_dir, Path(self.ckpt_path))
            say(text)
            raise SystemExit(0)
        if is_rank_zero() and holds_run(self.run_dir):
            with alone_in(self.run_dir):  # it may be training right now
                text = about_existing_run(self.run_dir, self.words, self._plain_config()[1], self.seed_is_drawn)
            raise ValueError(text)

    def _plain_config(self) -> tuple[str, dict[str, Any]]:
        return plain_config(self._parser(self.subcommand), self._options)

    def before_fit(self) -> None:
        """Give a new run the weights that it is to start from."""
        origin = self._options.init_from
        if origin is None:
            if self.ckpt_path is None and self._options.model.freeze_d:
                raise ValueError("freeze_d keeps weights of an earlier training: name its file with --init_from FILE")
            return
        if self.ckpt_path is not None:
            say(f"Going on from {self.ckpt_path}; init_from {origin} is where the run began, and is not read again.")
            return
        start_from(self.model, origin, self.datamodule.class_names)
        say(f"Starting from the networks of {origin}")

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; say what is wrong with a setting without jsonargparse's frame around it."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise ValueError(explain(error)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the run's folder, the loggers and the progress bar."""
        config = self._options.trainer
        callbacks: list[Callback] = [Signals(), MarginWarning(), ConvolutionPlan()]
        if config.enable_progress_bar is not False:
            callbacks.append(KimgProgressBar())
        self.trainer_defaults["callbacks"] = callbacks
        kwargs["default_root_dir"] = os.fspath(self.run_dir)
        if config.logger in (None, True):
            kwargs["logger"] = self._loggers() if self.subcommand == "fit" else False
        if self.subcommand == "fit" and config.val_check_interval is None:
            kwargs["limit_val_batches"] = 0  # Quality scores on its own schedule
        if config.precision is None:
            config.precision = kwargs["precision"] = faster_precision(self.model, self.datamodule.batch_size)
        trainer = super().instantiate_trainer(**kwargs)
        for ranks in callbacks_of(trainer, RankConsistency):
            ranks.config = self._options.as_dict()
        # config.yaml is there before the first checkpoint, which carries it too
        trainer.callbacks.sort(key=lambda callback: not isinstance(callback, RunConfig))  # type: ignore[attr-defined]
        return trainer

    def _loggers(self) -> list[Logger]:
        options = WandbOptions(**self._options.wandb.as_dict())
        wandb = wandb_logger(self.run_dir, options, self.ckpt_path, lambda: self._plain_config()[1])
        tensorboard = tensorboard_logger(self.run_dir, self.ckpt_path) if self._options.tensorboard else None
        loggers: list[Logger | None] = [MetricsFile(self.run_dir), wandb, tensorboard]
        return [logger for logger in loggers if logger is not None]

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        kwargs |= {"ckpt_path": self.ckpt_path, "weights_only": True}
        if subcommand == "predict":
            kwargs["return_predictions"] = False  # they are written, and would fill the memory
            kwargs.pop("datamodule")  # seeds come from the module; Lightning would ask the data instead
        return kwargs

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the verb, a training alone in its folder; what comes from outside stops it with one message."""
        with working_in(self.run_dir, subcommand) if is_rank_zero() else nullcontext():
            try:
                with explained(self.run_dir, subcommand), pages_shared_with_forks():
                    super()._run_subcommand(subcommand)
            except UnfitCheckpointError as error:
                assert self.ckpt_path is not None
                config, size = self._plain_config()[1], self.datamodule.dataset_size
                raise ValueError(about_unfit_checkpoint(error, self.ckpt_path, config, size)) from error
            except ValueError as error:
                if subcommand != "fit" or self.trainer.global_step == 0:  # a mistake in the input
                    raise
                raise StoppedError(f"{error} {how_to_go_on(self.run_dir)}") from error

    def after_fit(self) -> None:
        """Say where everything is, what came out and what to do next."""
        with harmless("the closing summary"):
            say(summary(self.trainer, self.model))
            if not (self.run_dir / CONFIG).is_file():
                say(f"warning: {self.run_dir / CONFIG} is gone: the folder was removed or emptied during the training.")


class ParsedCLI(DualGANCLI):
    """Stops when the words are understood: draws no seed, builds nothing, runs nothing."""

    def _set_seed(self) -> None: ...

    def before_instantiate_classes(self) -> None:
        """Leave the configuration as it was given."""

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def _run_subcommand(self, subcommand: str) -> None: ...


SETTINGS: dict[str, Any] = {
    "model_class": GAN,
    "datamodule_class": ImageDataModule,
    "subclass_mode_data": True,
    "auto_configure_optimizers": False,
    "save_config_callback": RunConfig,
    "save_config_kwargs": {"save_to_log_dir": False},
    "seed_everything_default": 0,
    "trainer_defaults": {
        "max_epochs": -1,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the sampler is a pure function of seed, clock and rank
        "enable_model_summary": False,
        "precision": "32-true",
    },
    "parser_class": Parser,
    "parser_kwargs": {"allow_abbrev": False},
}


def parse_fit(words: list[str]) -> Namespace:
    """What `dualgan fit` with the given words would train with; nothing is built and no data is read."""
    with quiet_libraries():
        return ParsedCLI("fit", args=["fit", *words], **copy.deepcopy(SETTINGS))._options


def run_trainer(words: list[str]) -> int:
    """Run `fit`, `validate`, `test` or `predict` with the given words; returns the exit code."""
    with quiet_libraries():
        try:
            cli = DualGANCLI(words[0], args=words, **copy.deepcopy(SETTINGS))
        except StoppedError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except RankMismatchError as error:
            return error.exit_code
        except MisconfigurationException as error:
            raise ValueError(str(error)) from error
        except SystemExit as stop:
            if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning's answer to Ctrl-C
                raise stop.__context__ from None
            raise
    return max(signals.finish(cli.trainer) for signals in callbacks_of(cli.trainer, Signals))


def plain_config(parser: LightningArgumentParser, config: Namespace) -> tuple[str, dict[str, Any]]:
    """A configuration as YAML, and as plain data."""
    text: str = parser.dump(config, skip_none=False)
    return text, yaml.safe_load(text)


def callbacks_of(trainer: Trainer, kind: type[C]) -> list[C]:
    """The trainer's callbacks of one class."""
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]  # type: ignore[attr-defined]


def summary(trainer: Trainer, gan: GAN) -> str:
    """The last lines of a run."""
    run_dir = Path(trainer.default_root_dir)
    lines = ["", f"Run folder: {run_dir}  (samples/ has the pictures, metrics.csv the numbers)"]
    for quality in callbacks_of(trainer, Quality):
        if quality.history:
            lines.append(scores_in_words(quality.history, quality.main_metric, quality.shown) + quality.remark)
        else:
            lines.append(NOTHING_MEASURED)
    if gan.clock < gan.total_images:
        lines.append(f"Stopped at {gan.clock / 1000:g} of {gan.total_images / 1000:g} kimg. Go on with:")
        lines.append(f"  {fit_again(run_dir)}{without_limits(trainer)}")
    lines.append("Try next:")
    checkpoint = shlex.quote(str(run_dir / CHECKPOINTS / LAST))
    truncated = " --truncation_psi 0.7" if gan.generator.has_mapping else ""
    lines.append(f"  dualgan generate --ckpt {checkpoint} --seeds 0-63{truncated} --out images --grid")
    return "\n".join(lines)
