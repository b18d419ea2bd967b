"""The two players, the generator's moving average, and everything they do outside of training."""

import copy
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from dualgan.data.batches import Batch
from dualgan.losses import AdversarialLoss
from dualgan.networks import Discriminator, Generator
from dualgan.networks.sampling import generate
from dualgan.runtime.distributed import rank, world_size
from dualgan.runtime.seeding import reseed
from dualgan.weights.checkpoints import check_header, check_shapes, header, migrate


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
        style_mixing: Probability that a sample's later layers get the w of another z.
        seed: Seed of everything random.
    """

    images_seen: Tensor

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss,
        style_mixing: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.to(memory_format=torch.channels_last)
        self.generator_ema = copy.deepcopy(generator).eval().requires_grad_(False)
        self.loss, self.style_mixing, self.seed = loss, style_mixing, seed
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.int64))
        self.clock = 0  # images_seen on the host: reading the buffer at every step would stall the device
        self.prediction = Prediction()

    @property
    def takes_reference(self) -> bool:
        """Whether every batch must bring reference images: the data module asks."""
        return self.discriminator.takes_reference

    def draw_ws(self, count: int, labels: Tensor | None, purpose: str, part: int) -> Tensor:
        """Styles of fresh latents, mixed: [count, num_ws, w_dim]; the same at every call of one step."""
        reseed(self.seed, rank(), self.clock, purpose, part)
        generator = self.generator
        z, other = torch.randn(2, count, generator.z_dim, device=self.device).unbind()
        ws: Tensor = generator.mapping(z, labels)
        if not self.style_mixing:
            return ws
        # StyleGAN, section 3.1: layers from a random crossover on take the w of another z
        crossover = torch.randint(1, generator.num_ws, (count, 1, 1), device=self.device)
        mixed = torch.rand(count, 1, 1, device=self.device) < self.style_mixing
        layer = torch.arange(generator.num_ws, device=self.device)[None, :, None]
        return torch.where(mixed & (layer >= crossover), generator.mapping(other, labels), ws)

    @torch.no_grad()
    def draw_fakes(self, count: int, labels: Tensor | None, purpose: str, part: int) -> tuple[Tensor, Tensor]:
        """Generated images [count, C, R, R] without gradient, and the mean of their unmixed w [w_dim]."""
        ws = self.draw_ws(count, labels, purpose, part)
        return self.generator.synthesis(ws), ws[:, 0].mean(dim=0)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log both players' losses on held-out real images."""
        self._score_losses(batch, batch_idx, "val")

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
        real, labels, reference = (None if value is None else value[:whole] for value in batch)
        fake, _ = self.draw_fakes(whole, labels, stage, batch_idx)
        real_logits, fake_logits = (self.discriminator(images, labels, reference) for images in (real, fake))
        values = {
            f"{stage}/loss/discriminator": self.loss.discriminator(real_logits, fake_logits),
            f"{stage}/loss/generator": self.loss.generator(fake_logits, real_logits),
            f"{stage}/logits/real": real_logits.mean(),
            f"{stage}/logits/fake": fake_logits.mean(),
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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what rebuilds the networks without a configuration."""
        checkpoint["dualgan"] = header(self.generator, self.discriminator)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of other networks with a message that names what differs.

        Raises:
            ValueError: The checkpoint is not ours, too new, or its tensors have other shapes.
        """
        check_header(checkpoint)
        migrate(checkpoint)
        check_shapes(checkpoint, self.state_dict())
