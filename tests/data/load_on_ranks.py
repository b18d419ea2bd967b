"""Load some epochs of a labelled folder of images on however many ranks torchrun started, by the trainer's own loaders.

Each rank saves the images that its training steps saw, as the red of their middle and their label.
"""

import os
import sys

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dualgan.data import AnimalFace, Batch
from dualgan.runtime.distributed import rank


class Witness(LightningModule):
    images_seen: Tensor
    takes_reference = False

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("images_seen", torch.tensor(0))
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, int]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        assert batch.labels is not None
        reds = ((batch.images[:, 0, 4, 4] + 1) * 127.5).round().int().tolist()
        self.seen += zip(reds, batch.labels.tolist(), strict=True)
        return self.weight * 1.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def main(root: str, cache_dir: str, out: str, steps: int) -> None:
    torch.set_num_threads(1)
    data = AnimalFace(root, resolution=8, batch_size=4, num_workers=1, use_labels=True, cache_dir=cache_dir)
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", devices=int(os.environ["WORLD_SIZE"]), logger=False,
        strategy="ddp", enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, limit_val_batches=0,
    )  # fmt: skip
    witness = Witness()
    trainer.fit(witness, datamodule=data)
    loader = data.train_dataloader()
    settings = {"persistent": loader.persistent_workers, "pinned": loader.pin_memory}
    torch.save({"seen": witness.seen, "settings": settings}, f"{out}/{rank()}.pt")


if __name__ == "__main__":
    folder, cache, result, count = sys.argv[1:]
    main(folder, cache, result, int(count))
