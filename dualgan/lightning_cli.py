"""LightningCLI for GANs: the run's folder, loggers, precision, devices and checkpoints by name."""

import inspect
import os
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import torch
from jsonargparse import Namespace
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import Logger

from dualgan.callbacks import KimgProgressBar, MarginWarning, Predictions, Quality, RunCheckpoint, SampleGrid
from dualgan.callbacks.run import RunCSVLogger, WandbOptions, wandb_logger
from dualgan.cli import stem_of_config
from dualgan.data import ImageDataModule, ImageFolder, SyntheticCLEVR
from dualgan.gan import GAN, DivergenceError
from dualgan.losses import AdversarialLoss
from dualgan.networks import Discriminator, Generator
from dualgan.schedule import check_precision

SECTIONS: dict[str, type] = {
    "quality": Quality,
    "samples": SampleGrid,
    "checkpoints": RunCheckpoint,
    "predictions": Predictions,
}


# What a class name on the command line may be; importing the data sets lets it find them by name.
CHOICES: dict[str, type] = {
    "model.generator": Generator,
    "model.discriminator": Discriminator,
    "model.loss": AdversarialLoss,
    "data": ImageDataModule,
}
DATASETS = (SyntheticCLEVR, ImageFolder)


def class_names(base: type) -> list[str]:
    """Names of all classes that can be chosen where `base` is expected."""
    names = {base.__name__} if not inspect.isabstract(base) and base not in (Generator, Discriminator) else set()
    return sorted(names.union(*(class_names(child) for child in base.__subclasses__())))


class Parser(LightningArgumentParser):
    """Complains in one paragraph instead of pages of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what `main` prints.

        Raises:
            ValueError: Always.
        """
        hints = [
            f"Valid classes for {key}: {', '.join(class_names(base))}."
            for key, base in CHOICES.items()
            if f'key "{key}"' in message or f"'{key}'" in message
        ]
        text = " ".join([message.strip(), *hints, "See 'dualgan VERB --help' for every option."])
        raise ValueError(text) from ex


def native_bf16() -> bool:
    """Whether this machine's GPU, or without one its CPU, computes in bfloat16 rather than emulating it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


class RunConfig(SaveConfigCallback):
    """Writes config.yaml into the folder of a training run and sends it to the loggers."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save for `fit` only: the other verbs read the file."""
        if stage == "fit":
            self.overwrite = True  # `refuse_to_overwrite` has looked already
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Show the configuration in W&B."""
        for logger in trainer.loggers:
            if not isinstance(logger, RunCSVLogger):
                logger.log_hyperparams(self.config.as_dict())


class DualGANCLI(LightningCLI):
    """The four trainer verbs."""

    words: ClassVar[list[str]] = []

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's folder, W&B and the callbacks' sections; connect data, seed and model."""
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="Folder of the run: config.yaml, metrics.csv, samples/, checkpoints/. Default: runs/NAME_OF_CONFIG",
        )
        parser.add_class_arguments(WandbOptions, "wandb")
        for section, callback in SECTIONS.items():
            parser.add_lightning_class_args(callback, section)
        parser.set_defaults({"model.loss": {"class_path": "dualgan.losses.NonSaturating"}})
        for name in ("resolution", "num_channels", "num_classes"):
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)

    def _parse_ckpt_path(self) -> None:
        """Leave the command line alone: Lightning would lay a checkpoint's hyperparameters over it."""

    def before_instantiate_classes(self) -> None:
        """Fill in what depends on the machine or on other settings, and refuse what cannot work."""
        config = self.config[self.subcommand]
        check_precision(config.trainer.precision)
        if config.trainer.precision is None:
            config.trainer.precision = "bf16-mixed" if native_bf16() else "32-true"
        if config.run_dir is None:
            config.run_dir = os.fspath(Path("runs") / (stem_of_config(self.words) or "default"))
        config.trainer.default_root_dir = config.run_dir
        config.ckpt_path = resolve_checkpoint(config.ckpt_path, Path(config.run_dir))
        if self.subcommand == "fit":
            if config.trainer.val_check_interval is None:
                config.trainer.limit_val_batches = 0  # Quality scores on its own schedule
            refuse_to_overwrite(Path(config.run_dir), config.ckpt_path)
        elif config.ckpt_path is None:
            config.ckpt_path = resolve_checkpoint("last", Path(config.run_dir))
        if self.subcommand == "predict":
            config.return_predictions = False  # they are written, and would fill the memory

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the loggers, and the DDP that alternating players need where there is more than one device."""
        config = self.config[self.subcommand]
        if config.trainer.logger in (None, True):
            kwargs["logger"] = self._loggers(config)
        trainer = super().instantiate_trainer(**kwargs)
        if trainer.world_size > 1 and config.trainer.strategy in ("auto", "ddp"):
            kwargs["strategy"] = "ddp_find_unused_parameters_true"
            trainer = super().instantiate_trainer(**kwargs)
        return trainer

    def _loggers(self, config: Namespace) -> list[Logger]:
        loggers: list[Logger | None] = [RunCSVLogger(config.run_dir)]
        if self.subcommand == "fit":
            loggers.append(wandb_logger(Path(config.run_dir), WandbOptions(**config.wandb.as_dict())))
        return [logger for logger in loggers if logger is not None]

    def after_fit(self) -> None:
        """Say where everything is, what came out and what to do next."""
        if rank_zero_only.rank == 0:
            print(summary(self.trainer, self.model))


def run_trainer(words: list[str]) -> int:
    """Run `fit`, `validate`, `test` or `predict` with the given words; returns the exit code."""
    DualGANCLI.words = words
    try:
        cli = DualGANCLI(
            GAN,
            ImageDataModule,
            args=words,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=RunConfig,
            seed_everything_default=0,
            trainer_defaults={
                "callbacks": [KimgProgressBar(), MarginWarning()],
                "max_epochs": -1,
                "num_sanity_val_steps": 0,
                "use_distributed_sampler": False,  # the sampler is a pure function of seed, clock and rank
                "enable_model_summary": False,
                "precision": "32-true",
            },
            parser_class=Parser,
        )
    except DivergenceError as error:
        print(f"error: {error}")
        return 1
    checkpoint = next(c for c in cli.trainer.callbacks if isinstance(c, RunCheckpoint))
    return 130 if checkpoint.interrupted else 0


def resolve_checkpoint(name: str | None, run_dir: Path) -> str | None:
    """Turn "last" and "best" into the run's files.

    Raises:
        ValueError: There is no such file.
    """
    if name is None:
        return None
    path = run_dir / "checkpoints" / f"{name}.ckpt" if name in ("last", "best") else Path(name)
    if not path.is_file():
        raise ValueError(
            f"no checkpoint at {path}: pass --ckpt_path FILE, or --run_dir with --ckpt_path last or best, of a run "
            f"that has saved one"
        )
    return os.fspath(path)


def refuse_to_overwrite(run_dir: Path, ckpt_path: str | None) -> None:
    """Never train over another run's files.

    Raises:
        ValueError: The folder holds a run and nothing is being resumed.
    """
    if ckpt_path is None and rank_zero_only.rank == 0 and (run_dir / "config.yaml").exists():
        raise ValueError(
            f"{run_dir} already holds a run: choose another --run_dir, continue it with --ckpt_path last, "
            f"or delete the folder"
        )


def summary(trainer: Trainer, gan: GAN) -> str:
    """The last lines of a run."""
    run_dir = Path(trainer.default_root_dir)
    lines = ["", f"Run folder: {run_dir}  (samples/ has the pictures, metrics.csv the numbers)"]
    quality = next((c for c in trainer.callbacks if isinstance(c, Quality)), None)  # type: ignore[attr-defined]
    if quality and quality.history:
        first, last = quality.history[0], quality.history[-1]
        before, after = first[1][quality.main_metric], last[1][quality.main_metric]
        lines.append(
            f"{quality.main_metric.removeprefix('metrics/')}: {before:.1f} at {first[0]:.0f} kimg, {after:.1f} at "
            f"{last[0]:.1f} kimg, {before / max(after, 1e-9):.1f} times lower"
        )
    if gan.clock < gan.total_images:
        lines.append(f"Stopped at {gan.clock / 1000:.1f} of {gan.total_images / 1000:g} kimg. Go on with:")
        lines.append(f"  dualgan fit --config {run_dir}/config.yaml --ckpt_path last")
    lines.append("Try next:")
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    lines.append(f"  dualgan generate --ckpt {checkpoint} --seeds 0-63 --truncation_psi 0.7 --out images --grid")
    return "\n".join(lines)
