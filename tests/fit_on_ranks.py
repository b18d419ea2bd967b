"""Train tiny GANs with every loss and penalty on, on however many ranks torchrun started; rank 0 saves the results.

The draws of the latents and of the path length's noise are those of the global batch, of which each rank takes its
strided share: a run on R ranks must then do exactly what one process does with the whole batch.
"""

import os
import sys
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.optim import SGD

from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.losses import DualContrastive, PathLength
from dualgan.ops import rank, world_size
from dualgan.randomness import mix_seed
from tests.tiny import attending_discriminator, attending_generator, discriminator, generator


def share(count: int, *shape: int, purpose: str) -> Tensor:
    source = torch.Generator().manual_seed(mix_seed(purpose))
    return torch.randn(count * world_size(), *shape, generator=source)[rank() :: world_size()]


class SharedNoise(PathLength):
    def path_lengths(self, images: Tensor, ws: Tensor, noise: Tensor | None = None) -> Tensor:
        return super().path_lengths(images, ws, share(*images.shape, purpose="noise"))


class SharedDraws(GAN):
    def draw_ws(self, count: int, labels: Tensor | None, purpose: str, part: int) -> Tensor:
        z = share(count, self.generator.z_dim, purpose=f"{purpose} {self.clock}")
        ws: Tensor = self.generator.mapping(z, labels)
        return ws

    # Adam turns rounding errors of tiny gradients into whole steps; the learning rate tells a sum from a mean.
    def configure_optimizers(self) -> list[SGD]:  # type: ignore[override]
        return [SGD(player.parameters(), lr=0.01, fused=True) for player in (self.generator, self.discriminator)]

    def on_train_start(self) -> None:
        pass  # no Adam settings to restore


PLAYERS = {"plain": (generator, discriminator), "attention": (attending_generator, attending_discriminator)}


def fit(name: str, cache_dir: str) -> dict[str, Any]:
    G, D = PLAYERS[name]
    gan = SharedDraws(
        8, generator=G, discriminator=D, loss=DualContrastive(scope="global"), warmup_kimg=0.008,
        total_kimg=0.032, r1_gamma=1.0, r2_gamma=0.5, d_reg_interval=1, g_reg_interval=1,
    )  # fmt: skip
    gan.path_length = SharedNoise(2.0)
    with torch.no_grad():
        for name, parameter in gan.generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.requires_grad_(False)  # its gradient is the noise's, which each rank draws for itself
    data = SyntheticCLEVR(num_images=16, resolution=8, batch_size=8, num_renderers=1, cache_dir=cache_dir)
    trainer = Trainer(
        max_epochs=-1, accelerator="cpu", devices=int(os.environ["WORLD_SIZE"]), logger=False,
        strategy="ddp_find_unused_parameters_true", enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(gan, datamodule=data)
    trainer.strategy.barrier()
    everyone = trainer.strategy.all_gather(torch.cat([p.flatten() for p in gan.parameters()]))
    state = {name: value for name, value in gan.state_dict().items() if "noise" not in name}
    same = bool((everyone == everyone[0]).all()) if everyone.dim() > 1 else True
    return {"state": state, "ranks_agree": same, "clock": gan.clock}


def main(cache_dir: str, path: str) -> None:
    torch.set_num_threads(1)
    results = {name: fit(name, cache_dir) for name in PLAYERS}
    if rank() == 0:
        torch.save(results, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
