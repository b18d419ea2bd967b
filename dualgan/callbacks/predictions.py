"""`dualgan predict`: N generated images in a folder or zip, shared out over all ranks."""

from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer

from dualgan.files.targets import zip_or_folder
from dualgan.gan import GAN
from dualgan.pictures.grids import ImageWriter, existing_images, image_name, merge_zips, refuse_to_replace
from dualgan.terminal.console import say
from dualgan.training.players import Prediction


class Predictions(Callback):
    """Writes one PNG per seed; used by `predict` only.

    Args:
        num: Number of images, from the seeds 0, 1, 2, ...
        out: Folder, or file that ends in .zip; null is the folder "predictions" of the run. Images that are there are
            not replaced.
        truncation_psi: Truncation of the latents, 1 for none.
        noise_mode: "const" repeats the same noise, "random" draws it, "none" leaves it out.
        batch_size: Images per batch and device.
        overwrite: Replace images of the same seeds, and the zip file, that are there.
    """

    def __init__(
        self,
        num: int = 1000,
        out: str | None = None,
        truncation_psi: float = 1.0,
        noise_mode: Literal["const", "random", "none"] = "const",
        batch_size: int = 64,
        overwrite: bool = False,
    ) -> None:
        if num < 1:
            raise ValueError(f"predictions.num {num} is not a number of images: give 1 or more")
        if batch_size < 1:
            raise ValueError(f"predictions.batch_size {batch_size} is too small: give 1 or more")
        self.num, self.out, self.batch_size = num, out, batch_size
        self.overwrite = overwrite
        self.truncation_psi, self.noise_mode = truncation_psi, noise_mode
        self.writer: ImageWriter | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tell the module which seeds to generate.

        Raises:
            ValueError: There are fewer than processes, or images would be replaced.
        """
        if stage == "predict":
            path = self._path(trainer)
            zip_or_folder(path, "predictions.out")
            if self.num < trainer.world_size:
                raise ValueError(
                    f"predictions.num {self.num} leaves some of {trainer.world_size} processes without an image: give "
                    f"as many or more, or a lower trainer.devices"
                )
            assert isinstance(pl_module, GAN)
            seeds = range(self.num)
            existing = existing_images(self._path(trainer), seeds)
            refuse_to_replace(existing, self.overwrite, "--predictions.overwrite true")
            pl_module.prediction = Prediction(seeds, self.batch_size, self.truncation_psi, self.noise_mode)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open this rank's part."""
        path = self._path(trainer)
        self.writer = ImageWriter(self._part(path, trainer.global_rank) if path.suffix == ".zip" else path)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Write a batch."""
        assert self.writer is not None
        for seed, image in zip(batch, outputs, strict=True):
            self.writer.write(image, image_name(int(seed)))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave no half archive behind."""
        if self.writer is not None:
            self.writer.discard()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Join the ranks' parts and say where the images are."""
        assert self.writer is not None
        self.writer.close()
        trainer.strategy.barrier()
        path = self._path(trainer)
        if path.suffix == ".zip" and trainer.is_global_zero:
            merge_zips([self._part(path, r) for r in range(trainer.world_size)], path)
        say(f"Wrote {self.num} images to {path}")

    def _path(self, trainer: Trainer) -> Path:
        return Path(self.out) if self.out else Path(trainer.default_root_dir) / "predictions"

    @staticmethod
    def _part(path: Path, rank: int) -> Path:
        return path.with_name(f"{path.stem}.rank{rank}.zip")
