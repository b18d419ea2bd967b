"""The two players, the generator's moving average, and everything they do outside of training."""

import copy
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from dualgan.data.batches import Batch
from dualgan.losses import AdversarialLoss
from dualgan.losses.heads import per_head
from dualgan.networks import Discriminator, Generator, Latents, Network
from dualgan.networks.base import Drawn, Mixing, as_heads
from dualgan.networks.classes import ImageClass, listed
from dualgan.networks.sampling import generate
from dualgan.runtime.distributed import average_over_ranks_, rank, world_size
from dualgan.runtime.seeding import reseed
from dualgan.terminal.console import say
from dualgan.training.labels import FakeLabels
from dualgan.weights.checkpoints import changes_since, check_classes, check_header, check_shapes, header, migrate

OF_TRAINING = ("tasks.", "augmentation.")


class Fakes(NamedTuple):
    """Generated images [N, C, R, R], and what they were made from."""

    images: Tensor
    drawn: Drawn


class Prediction(NamedTuple):
    """What `predict` generates: one image per seed; the other values are as for `generate`."""

    seeds: range = range(0)
    batch_size: int = 64
    truncation_psi: float = 1.0
    noise_mode: str = "const"


class Players(LightningModule):
    """Generator, discriminator and averaged generator, with the clock that all randomness hangs on.

    Args:
        generator: G.
        discriminator: D.
        loss: Adversarial loss, for the scores of `validate` and `test`.
        mixing: Style mixing.
        fake_labels: Where the classes of generated images come from.
        seed: Seed of everything random.
    """

    images_seen: Tensor

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss,
        mixing: Mixing,
        fake_labels: FakeLabels,
        seed: int,
    ) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.to(memory_format=torch.channels_last)
        self.generator_ema = copy.deepcopy(generator).eval().requires_grad_(False)
        self.loss, self.mixing, self.fake_labels, self.seed = loss, mixing, fake_labels, seed
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.int64))
        self.clock = 0  # images_seen on the host: reading the buffer at every step would stall the device
        self.prediction = Prediction()

    def networks(self) -> tuple[Network, Network, Network]:
        """G, the averaged G, and D."""
        return self.generator, self.generator_ema, self.discriminator

    @property
    def takes_reference(self) -> bool:
        """Whether every batch must bring reference images: the data module asks."""
        return self.discriminator.takes_reference

    def know_classes(self, data: Any) -> str | None:
        """Take names and numbers of images of the classes from the data module, if there is one.

        Returns:
            A sentence where they are not known, or the source of the classes of generated images has no effect.
        """
        if data is None or data.label_counts is None:
            return self.fake_labels.learn(None)
        classes = tuple(map(ImageClass, data.class_names, data.label_counts.tolist()))
        fits = self.trainer.state.fn == "fit"
        for k, (before, now) in enumerate(zip(self.generator.classes, classes, strict=False)):
            if fits and before.name != now.name:
                rank_zero_warn(
                    f"the networks were trained on other classes: class {k} was '{before.name}' and is '{now.name}'"
                )
                break
        self.generator.classes = self.generator_ema.classes = classes
        if fits:
            there = {one.name: one.images for one in classes if one.images}
            say(f"Conditional: {len(there)} classes with images, {listed(there)}")
        return self.fake_labels.learn(data.label_counts)

    def reseed(self, purpose: str, part: int = 0) -> None:
        """Seed everything random for one purpose of this step on this rank: the same at every call."""
        reseed(self.seed, rank(), self.clock, purpose, part)

    def draw(self, count: int, purpose: str, part: int = 0) -> Latents:
        """Fresh latents of `count` images; what is drawn next, such as noise, follows from the same stream."""
        self.reseed(purpose, part)
        return self.generator.draw(count, self.mixing, self.device)

    def noise(self, like: Tensor, purpose: str, part: int = 0) -> Tensor:
        """Standard normal numbers of the shape of a tensor [N, ...]."""
        self.reseed(purpose, part)
        return torch.randn_like(like)

    def draw_styles(
        self, count: int, labels: Tensor | None, purpose: str, part: int = 0, same_classes: bool = False
    ) -> Drawn:
        """Styles of `count` images; `labels` are those of the real images of the step, which `same_classes` takes."""
        latents = self.draw(count, purpose, part)
        own = labels if same_classes else self.fake_labels.draw(count, labels)
        return Drawn(latents, own, self.generator.styles(latents, own))

    @torch.no_grad()
    def draw_fakes(
        self, count: int, labels: Tensor | None, purpose: str, part: int = 0, same_classes: bool = False
    ) -> Fakes:
        """Generated images without gradient; see `draw_styles`."""
        drawn = self.draw_styles(count, labels, purpose, part, same_classes)
        return Fakes(self.generator.synthesis(drawn.styles), drawn)

    @torch.no_grad()
    def fakes_of(self, latents: Latents, labels: Tensor | None, purpose: str, part: int = 0) -> Tensor:
        """Images [N, C, R, R] of given latents and class indices [N], without gradient; draws their noise."""
        self.reseed(purpose, part)
        images: Tensor = self.generator.synthesis(self.generator.styles(latents, labels))
        return images

    def as_seen(self, batch: Batch) -> Batch:
        """A batch in the precision of the weights, as loaders give float32, and in the detail that G draws now."""
        images, labels, reference = batch
        return Batch(self._as_seen(images), labels, None if reference is None else self._as_seen(reference))

    def _as_seen(self, images: Tensor) -> Tensor:
        assert isinstance(self.dtype, torch.dtype)
        growth, images = self.generator.growing, images.to(self.dtype)
        return images if growth is None else growth.coarsened(images)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log both players' losses on held-out real images."""
        self._score_losses(batch, batch_idx, "val")

    def on_validation_epoch_end(self) -> None:
        """Give a validation inside of a training its place among the other rows."""
        if self.trainer.state.fn == "fit":
            self.log_dict({"kimg": self.clock / 1000, "step": self.trainer.global_step})

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log both players' losses on held-out real images."""
        self._score_losses(batch, batch_idx, "test")

    def _score_losses(self, batch: Batch, batch_idx: int, stage: str) -> None:
        group = self.discriminator.minibatch_std_group
        if batch_idx == 0:  # fewer images than a group are one; of later batches only whole groups count
            group = min(group, len(batch.images))
        whole = len(batch.images) // group * group
        if not whole:
            return
        real, labels, reference = (None if value is None else value[:whole] for value in self.as_seen(batch))
        fake, drawn = self.draw_fakes(whole, labels, stage, batch_idx)
        shown = ((real, labels), (fake, drawn.labels))
        real_logits, fake_logits = (as_heads(self.discriminator(*images, reference)) for images in shown)
        values = {
            f"{stage}/loss/discriminator": per_head(self.loss.discriminator, 2)(*real_logits, *fake_logits),
            f"{stage}/loss/generator": per_head(self.loss.generator, 2)(*fake_logits, *real_logits),
            f"{stage}/logits/real": real_logits[0].mean(),
            f"{stage}/logits/fake": fake_logits[0].mean(),
        }
        self.log_dict(values, batch_size=whole, sync_dist=True)

    def predict_dataloader(self) -> DataLoader[int]:
        """This rank's share of the seeds to generate."""
        own = self.prediction.seeds[rank() :: world_size()]
        return DataLoader(own, batch_size=self.prediction.batch_size)  # type: ignore[arg-type]

    def predict_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Images of the averaged generator for seeds [N]: uint8 [N, H, W, C]."""
        seeds, psi, noise = batch.tolist(), self.prediction.truncation_psi, self.prediction.noise_mode
        images = generate(self.generator_ema, seeds, truncation_psi=psi, noise_mode=noise)
        return torch.cat(list(images))

    def settle(self) -> None:
        """Make the averaged generator ready for being looked at, alike on all ranks; all of them must call it.

        The training never reads what this changes: every step copies the trained generator's buffers over it.
        """
        self.generator_ema.estimate_statistics()
        if not self.generator_ema.repeatable:
            average_over_ranks_([b for b in self.generator_ema.buffers() if b.is_floating_point()])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what rebuilds the networks without a configuration; whoever loads the averaged generator looks at it."""
        self.settle()  # in place, and so in the tensors that the checkpoint holds already
        checkpoint["dualgan"] = header(self.generator, self.discriminator)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of other networks with a message that names what differs.

        Raises:
            ValueError: The checkpoint is not ours, too new, or its classes or the shapes of its tensors are others.
        """
        found = check_header(checkpoint)
        since = changes_since(found["format_version"])
        migrate(checkpoint)
        classes = check_classes(checkpoint, self.generator)
        if since and self.trainer.state.fn == "fit":
            rank_zero_warn(
                f"the checkpoint is of dualgan {found.get('version')}; from here on {'; '.join(since)}: the run will "
                f"differ from one that was trained by one version alone"
            )
        if self.trainer.state.fn != "fit":  # of no use to other verbs, and tasks are sized by the data
            others = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith(OF_TRAINING)}
            own = {k: v for k, v in self.state_dict().items() if k.startswith(OF_TRAINING)}
            checkpoint["state_dict"] = others | own
        check_shapes(checkpoint, self.state_dict())
        self.generator.classes = self.generator_ema.classes = self.generator.classes or classes
