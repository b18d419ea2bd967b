"""Train tiny GANs with every loss and penalty on, on as many ranks as WORLD_SIZE says; rank 0 saves the results.

The draws of the latents are those of the global batch, of which each rank and each of its micro-batches takes its
strided share; the path length's noise and the gradient penalty's points do not depend on the rank. A run on R ranks
must then do exactly what one process does with the whole batch.
"""

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader, IterableDataset

from dualgan.augment import ADA
from dualgan.augment.draws import Draws
from dualgan.auxiliary import CutMix, InstanceDiscrimination, OrthogonalRegularization
from dualgan.callbacks import ConvolutionPlan, Quality, RankConsistency, RunCheckpoint, SampleGrid
from dualgan.callbacks.ranks import RankMismatchError
from dualgan.data import Batch, SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.losses import (
    DualContrastive,
    GradientPenalty,
    Hinge,
    PathLength,
    RelativisticPairing,
    Saturating,
    Wasserstein,
)
from dualgan.losses.dual_contrastive import dual_contrast
from dualgan.networks import (
    BigGANGenerator,
    Latents,
    R3GANDiscriminator,
    R3GANGenerator,
    SNGANDiscriminator,
    SNGANGenerator,
    UNetDiscriminator,
)
from dualgan.networks.attention import SAN
from dualgan.networks.cpu import plan
from dualgan.runtime.distributed import rank, world_size
from dualgan.runtime.seeding import mix_seed
from tests.backbones import GROUPED
from tests.tiny import (
    Noise,
    attending_discriminator,
    attending_generator,
    discriminator,
    first_discriminator,
    first_generator,
    generator,
    tiny_gan,
)
from tests.training.test_trajectory import follow, replay
from tests.training.toys import ToyAugmentation, ToyDiscriminator, ToyGenerator, ToyTask

CACHE = Path(sys.argv[1]) / "cache"
RANKS = int(os.environ["WORLD_SIZE"])


def global_draws(*shape: int, purpose: str) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(mix_seed(purpose)))


class SharedNoise(PathLength):
    def path_lengths(self, images: Tensor, ws: Tensor, noise: Tensor | None = None) -> Tensor:
        one = global_draws(1, *images.shape[1:], purpose="noise")
        return super().path_lengths(images, ws, one.expand_as(images))


class SharedPositions(GradientPenalty):
    def positions(self, real: Tensor) -> Tensor:
        return real.mean(dim=(1, 2, 3), keepdim=True).sigmoid()  # another for each image, the same on any rank


class SharedDraws(GAN):
    batch: int  # of one rank

    def draw(self, count: int, purpose: str, part: int = 0) -> Latents:
        own = self.batch // 2 if purpose == "path_length" else self.batch
        z = global_draws(own * world_size(), self.generator.z_dim, purpose=f"{purpose} {self.clock}")
        return Latents(z[rank() :: world_size()][part :: own // count])

    def noise(self, like: Tensor, purpose: str, part: int = 0) -> Tensor:
        whole = global_draws(self.batch * world_size(), *like.shape[1:], purpose=f"{purpose} {self.clock}")
        return whole[rank() :: world_size()][part :: self.batch // len(like)]

    # Adam turns rounding errors of tiny gradients into whole steps; the learning rate tells a sum from a mean.
    def configure_optimizers(self) -> list[SGD]:  # type: ignore[override]
        return [SGD(player.parameters(), lr=0.01, fused=True) for player in self.trained_modules()]

    def on_train_start(self) -> None:
        pass  # no Adam settings to restore


class MeanOfLocal(DualContrastive):
    """What two ranks with scope "local" train with, in one process."""

    def _contrast(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return (
            dual_contrast(real_logits[::2], fake_logits[::2]) + dual_contrast(real_logits[1::2], fake_logits[1::2])
        ) / 2


class Share(IterableDataset[Batch]):
    """This rank's share of batches of noise, with labels and references where they are taken."""

    def __init__(self, whole: Noise) -> None:
        self.whole = whole

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.whole:
            images, *others = (None if part is None else part[rank() :: world_size()] for part in batch)
            assert images is not None
            yield Batch(images, *others)


def local() -> DualContrastive:
    return DualContrastive(scope="local") if RANKS > 1 else MeanOfLocal()


class SharedStrength(ToyAugmentation):
    """Each image has draws of its own, the same on any rank."""

    def draw(self, images: Tensor) -> Tensor:
        return images.detach().mean(dim=(1, 2, 3), keepdim=True).mul(99).cos().abs()


class DrawsOfTheImage(Draws):
    """Each image has draws of its own, the same on any rank."""

    def __init__(self, images: Tensor) -> None:
        super().__init__(images)
        self.state = images.detach().double().mean(dim=(1, 2, 3)) * 99

    def uniform(self) -> Tensor:
        self.state = self.state + 1
        return self.state.cos().abs().to(self.like.dtype)

    def normal(self) -> Tensor:
        return 2 * self.uniform() - 1

    def happens(self, probability: Tensor) -> Tensor:
        return self.uniform() < probability


def adaptive() -> ADA:
    ada = ADA(p=0.5, kimg=0.1, interval=1)
    ada.draws = DrawsOfTheImage
    return ada


instances = partial(partial, InstanceDiscrimination, hidden=8, width=4)
plain: dict[str, Any] = {"generator": generator, "discriminator": discriminator}
attention: dict[str, Any] = {"generator": attending_generator, "discriminator": attending_discriminator}
self_attention = partial(discriminator, attention=partial(SAN, footprint=3), attention_resolution=8)
# the second of two batches of 8 fades the second level in
fast = {"grow_from": 4, "level_kimg": 0.004, "fade_kimg": 0.016}
growing = {"generator": partial(first_generator, **fast), "discriminator": partial(first_discriminator, **fast)}
swapped: dict[str, Callable[[], Any]] = {"loss": DualContrastive}
networks = {"generator": ToyGenerator, "discriminator": ToyDiscriminator, "path_length_weight": 0, "style_mixing": 0}
extensions: dict[str, Any] = {"augmentation": SharedStrength(), "auxiliary": [ToyTask]}
pixels: dict[str, Any] = {
    "resolution": 32, "discriminator": partial(UNetDiscriminator, width=1),
    "auxiliary": [CutMix, partial(OrthogonalRegularization, weight=1e-7, generator=1e-7)],
    "r1_gamma": 1e-6, "r2_gamma": 1e-6, "gradient_penalty": 1e-6,  # of the sum of 1,025 logits
}  # fmt: skip
paired: dict[str, Any] = {
    "generator": partial(R3GANGenerator, z_dim=16, **GROUPED), "discriminator": partial(R3GANDiscriminator, **GROUPED),
    "loss": RelativisticPairing, "path_length_weight": 0, "style_mixing": 0, "num_classes": 3, "fake_labels": "batch",
}  # fmt: skip
GANS: dict[str, dict[str, Any]] = {
    "warm-up, swapped": plain | swapped | {"warmup_kimg": 0.008},
    "minimax": plain | {"loss": partial(DualContrastive, "minimax")},
    "local": plain | {"loss": local},
    "non-saturating": plain,
    "saturating": plain | {"loss": Saturating},
    "hinge": plain | {"loss": Hinge},
    "wasserstein": plain | {"loss": partial(Wasserstein, drift=0.01)},
    "attention, references": attention | swapped,
    "attention, references, micro-batches": attention | swapped | {"micro_batch": 4},
    "self-attention in D": plain | swapped | {"discriminator": self_attention},
    "extensions": networks | swapped | extensions | {"generator": partial(ToyGenerator, norm=False)},
    "FakeCLR": plain | swapped | {"augmentation": adaptive(), "auxiliary": [instances(preset="fakeclr")]},
    "InsGen, micro-batches": plain | swapped | {"auxiliary": [instances(preset="insgen")], "micro_batch": 4},
    "adaptive augmentation": plain | swapped | {"augmentation": adaptive()},
    "adaptive augmentation, micro-batches": plain | {"augmentation": adaptive(), "micro_batch": 4},
    "extensions, micro-batches": plain | swapped | extensions | {"micro_batch": 4},
    "growing": growing | swapped,
    "U-Net GAN": plain | swapped | pixels,
    "R3GAN": paired,
    "classes, micro-batches": plain | swapped | {"num_classes": 3, "micro_batch": 4, "fake_labels": "batch"},
}  # fmt: skip
# through the data module and its sampler
FROM_FILES = (
    "FakeCLR",
    "InsGen, micro-batches",
    "warm-up, swapped",
    "attention, references",
    "extensions",
    "extensions, micro-batches",
)


def build(batch: int, loss: Callable[[], Any] | None = None, resolution: int = 8, **settings: Any) -> SharedDraws:
    gan = SharedDraws(
        resolution, loss=loss and loss(), d_reg_interval=1, g_reg_interval=1,
        **{
            "r1_gamma": 1.0, "r2_gamma": 0.5, "gradient_penalty": 1.0, "total_kimg": 2 * 0.001 * batch,
            "warmup_kimg": 0.0, **settings,
        },
    )  # fmt: skip
    gan.batch = batch // RANKS
    gan.path_length.penalty = SharedNoise()
    gan.penalties.terms[-1] = SharedPositions(), gan.penalties.terms[-1][1]
    for name, parameter in gan.generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.requires_grad_(False)  # its gradient is the noise's, which each rank draws for itself
    return gan


def trainer_for(folder: Path, *callbacks: Callback, **settings: Any) -> Trainer:
    saves = any(isinstance(callback, RunCheckpoint) for callback in callbacks)
    return Trainer(
        max_epochs=-1, accelerator="cpu", devices=RANKS, logger=False, callbacks=[*callbacks], log_every_n_steps=1,
        strategy="ddp", enable_checkpointing=saves, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, limit_val_batches=0, default_root_dir=folder,
        **settings,
    )  # fmt: skip


def clevr(folder: Path, batch: int, resolution: int = 8) -> SyntheticCLEVR:
    cache = os.fspath(CACHE)
    return SyntheticCLEVR(num_images=16, resolution=resolution, batch_size=batch, num_renderers=1, cache_dir=cache)


def fit(name: str, folder: Path) -> dict[str, Any]:
    batch = 16 if "micro_batch" in GANS[name] else 8
    gan = build(batch, **GANS[name])
    trainer = trainer_for(folder)
    if name in FROM_FILES:
        trainer.fit(gan, datamodule=clevr(folder, batch))
    else:
        trainer.fit(gan, DataLoader(Share(Noise(gan, batch)), batch_size=None))
    everyone = trainer.strategy.all_gather(torch.cat([value.double().flatten() for value in gan.state_dict().values()]))
    state = {name: value for name, value in gan.state_dict().items() if "noise" not in name}
    same = bool((everyone == everyone[0]).all()) if everyone.dim() > 1 else True
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {"state": state, "ranks_agree": same, "clock": gan.clock, "logged": logged}


def norms(folder: Path) -> bool:
    """Whether ranks agree on everything where batch and spectral normalisation, draws and a queue move buffers."""
    settings: dict[str, Any] = networks | {"augmentation": ToyAugmentation(), "auxiliary": [ToyTask]}
    gan = GAN(8, total_kimg=0.08, **settings)
    trainer_for(folder, RankConsistency(0.001)).fit(gan, datamodule=clevr(folder, 8))
    return gan.clock == 80 and bool(gan.generator_ema.state_dict()["synthesis.norm.running_mean"].any())


def sngan(folder: Path) -> dict[str, Any]:
    """SNGAN on shares of the same batches: what it ends with, and whether the ranks agree after every step."""
    G, D = partial(SNGANGenerator, z_dim=8, width=4), partial(SNGANDiscriminator, width=4)
    gan = build(8, Hinge, 32, generator=G, discriminator=D, path_length_weight=0, style_mixing=0)
    trainer_for(folder, RankConsistency(0.001)).fit(gan, DataLoader(Share(Noise(gan, 8)), batch_size=None))
    return {"state": gan.state_dict(), "clock": gan.clock}


def standing(folder: Path) -> bool:
    """Whether ranks agree where the averaged generator's statistics are estimated for pictures and checkpoints."""
    G, D = partial(BigGANGenerator, width=1, z_dim=4, standing_passes=1), partial(UNetDiscriminator, width=1)
    gan = GAN(32, total_kimg=0.024, generator=G, discriminator=D, path_length_weight=0, style_mixing=0, r1_gamma=0)
    callbacks = SampleGrid(every_kimg=0.008, rows=1, columns=2), RankConsistency(0.001), RunCheckpoint(every_kimg=0.008)
    trainer_for(folder, *callbacks).fit(gan, datamodule=clevr(folder, 8, 32))
    return gan.clock == 24


def planned(folder: Path) -> dict[str, str]:
    """The plan of ranks whose times differ: matrix products are fastest on rank 0 alone."""
    wide = {"channel_base": 512, "channel_max": 32}
    players = {"generator": partial(generator, **wide), "discriminator": partial(discriminator, **wide)}
    gan = tiny_gan(16, **players, total_kimg=0.016, convolutions="measured")
    callbacks = ConvolutionPlan(), RankConsistency(0.001)  # compares all bits after every step
    with mock.patch.object(plan, "fastest", side_effect=lambda runs: list(runs)[-1 if rank() == 0 else 0]):
        trainer_for(folder, *callbacks).fit(gan, datamodule=clevr(folder, 8, 16))
    assert gan.convolutions.plan is not None
    return gan.convolutions.plan.chosen


def score(folder: Path) -> dict[str, float]:
    """Scores and a sample grid of the untrained generator, from the callbacks."""
    gan = build(8, **plain, total_kimg=0.008)
    quality = Quality(num_fake=12, every_kimg=1, metrics=["frechet", "kernel", "precision", "density"])
    trainer_for(folder, quality, SampleGrid(rows=2, columns=3)).fit(gan, datamodule=clevr(folder, 8))
    return quality.history[0][1]


class Drift(Callback):
    """Changes a state of rank 1 alone, after the third step."""

    def __init__(self, change: Callable[[Trainer, GAN], None]) -> None:
        self.change = change

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, GAN)
        if rank() == 1 and pl_module.clock == 24:
            self.change(trainer, pl_module)


def one_bit(trainer: Trainer, gan: GAN) -> None:
    gan.discriminator.get_parameter("b4.out.weight").view(torch.int32)[0, 0] ^= 1


def averages(trainer: Trainer, gan: GAN) -> None:
    gan.generator_ema.get_parameter("mapping.fc0.bias").add_(1)
    gan.generator.get_buffer("mapping.w_avg").add_(1)
    gan.path_length_mean.add_(1)


def moment(trainer: Trainer, gan: GAN) -> None:
    trainer.optimizers[0].state[gan.generator.get_parameter("mapping.fc0.weight")]["exp_avg_sq"][0] += 1


def clock(trainer: Trainer, gan: GAN) -> None:
    gan.clock += 1


DRIFTS = {"one_bit": one_bit, "averages": averages, "moment": moment, "clock": clock}


def drift(name: str, folder: Path) -> dict[str, Any]:
    """What a run whose ranks drift ends with: by itself, or (one_bit) because of the next checkpoint."""
    every = 1.0 if name == "one_bit" else 0.016
    callbacks = (Drift(DRIFTS[name]), RankConsistency(every), RunCheckpoint(every_kimg=0.016))
    return outcome(trainer_for(folder, *callbacks), GAN(8, **plain, total_kimg=0.08), folder)


def different_data(folder: Path) -> dict[str, Any]:
    """What a run ends with whose ranks have other images and another seed."""
    gan = GAN(8, **plain, total_kimg=0.08, seed=rank())
    data = clevr(folder, 8)
    data.subset = 16 - rank()
    consistency = RankConsistency()
    consistency.config = {"model": {"r1_gamma": 1.0 + rank()}, "data": {"root": f"/scratch/{rank()}"}}
    return outcome(trainer_for(folder, consistency), gan, folder, data)


def outcome(trainer: Trainer, gan: GAN, folder: Path, data: SyntheticCLEVR | None = None) -> dict[str, Any]:
    try:
        trainer.fit(gan, datamodule=data or clevr(folder, 8))
    except RankMismatchError as error:
        return {"message": str(error), "clock": gan.clock, "exit_code": error.exit_code}
    return {"message": "nothing was noticed"}


def main(folder: str, path: str) -> None:
    torch.set_num_threads(1)
    runs = Path(folder)
    results: dict[str, Any] = {name: fit(name, runs) for name in GANS}
    results["scores"] = score(runs)
    results["norms"] = norms(runs)
    results["SNGAN"] = sngan(runs / "sngan")
    results["standing"] = standing(runs / "standing")
    results["plan"] = planned(runs / "plan")
    results["trajectory"] = follow(replay(), trainer_for(runs, max_steps=20, precision="64-true"))
    if RANKS > 1:
        results["drifts"] = {name: drift(name, runs / name) for name in DRIFTS}
        results["different data"] = different_data(runs / "different")
    if rank() == 0:
        torch.save(results, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
