"""All ranks train the same GAN on the same data: compared at the start, and again and again."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dualgan.callbacks.clock import check_interval, crossed
from dualgan.files.atomic import digest
from dualgan.files.yaml_text import flatten
from dualgan.gan import GAN
from dualgan.runtime.distributed import gather, rank, world_size
from dualgan.training.two_players import PLAYERS
from dualgan.version import __version__

MAY_DIFFER = ("root", "cache_dir")  # settings: where each node keeps its copy of the data, whose content is compared
NAMED = 3  # differences that a message names


class RankMismatchError(RuntimeError):
    """The ranks of a run do not do the same thing. Rank zero has said so already, on the standard error stream."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class RankConsistency(Callback):
    """Stops a run of several processes whose ranks differ, and names what differs; idle in a run of one process.

    At the start: settings, seed, code, libraries, data and checkpoint. Then, at intervals and before every
    checkpoint is written: all weights, averages, counters and optimizer states, bit by bit.

    Args:
        every_kimg: Thousands of images between comparisons.
    """

    def __init__(self, every_kimg: float = 10.0) -> None:
        self.every_kimg = check_interval(every_kimg, "ranks")
        self.config: dict[str, Any] = {}  # the run's; whoever knows it sets it

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compare what the ranks are about to do.

        Raises:
            RankMismatchError: They differ.
        """
        if world_size() == 1 or stage != "fit":
            return
        everyone: list[Any] = [None] * world_size()
        dist.all_gather_object(everyone, premises(trainer, pl_module, self.config))
        if differences := different_premises(everyone):
            stop(f"the processes of this run do not agree on {differences}: make them the same on all nodes", 2)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Compare at intervals.

        Raises:
            RankMismatchError: A tensor differs.
        """
        assert isinstance(pl_module, GAN)
        if crossed(pl_module, batch, self.every_kimg):
            check_state(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Compare before a checkpoint replaces an older one.

        Raises:
            RankMismatchError: A tensor differs.
        """
        assert isinstance(pl_module, GAN)
        check_state(trainer, pl_module)


def check_state(trainer: Trainer, gan: GAN) -> None:
    """Compare everything that all ranks must hold alike, with one hash per tensor and one gathering of them all.

    Raises:
        RankMismatchError: A tensor differs, on all ranks; the message names the first ones and their ranks.
    """
    if world_size() == 1:
        return
    state = dict(shared_state(trainer, gan))
    hashes = gather(torch.stack([bit_hash(value).to(gan.device) for value in state.values()]))
    differs = hashes != hashes[0]
    if not differs.any():
        return
    found = [(name, ranks_in(column)) for name, column in zip(state, differs.unbind(dim=1), strict=True)]
    wrong = [f"{name} ({ranks})" for name, ranks in found if ranks]
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    stop(
        f"the ranks have drifted apart at {gan.clock / 1000:g} kimg: {', '.join(wrong[:NAMED])}{more} of {len(state)} "
        f"tensors differ from rank 0. No checkpoint was overwritten: continue with --ckpt_path last. Where the same "
        f"rank drifts again, suspect its device or node. Buffers of your own networks and losses must be averaged over "
        f"ranks (a network: repeatable False)",
        1,
    )


def shared_state(trainer: Trainer, gan: GAN) -> Iterator[tuple[str, Tensor]]:
    """Names and values of weights, buffers, counters and optimizer states."""
    yield "clock", torch.tensor(gan.clock)
    yield "global_step", torch.tensor(trainer.global_step)
    yield from gan.state_dict().items()
    names: dict[Tensor, str] = {parameter: name for name, parameter in gan.named_parameters()}
    for player, optimizer in zip(PLAYERS, trainer.optimizers, strict=True):
        for parameter, values in optimizer.state.items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    yield f"{key} of {names[parameter]} in the optimizer of the {player}", value


# sum_i mix(b_i + c i) modulo 2^64, where mix (as in splitmix64) spreads every bit
def bit_hash(value: Tensor) -> Tensor:
    """A number, int64, that depends on all bits of a tensor and their places; the same on every device."""
    flat = value.detach().contiguous().flatten()
    words = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}[flat.element_size()]
    places = torch.arange(len(flat), device=flat.device)
    mixed = torch.add(flat.view(words).to(torch.int64), places, alpha=0x1E3779B97F4A7C15)
    for shift, factor in ((30, 0x3F58476D1CE4E5B9), (27, 0x14D049BB133111EB)):
        mixed = mixed.bitwise_xor_(mixed >> shift).mul_(factor)
    return mixed.bitwise_xor_(mixed >> 31).sum()


def ranks_in(differs: Tensor) -> str:
    """The ranks [R] that differ, in words; empty where none does."""
    ranks = differs.nonzero().flatten().tolist()
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}" if ranks else ""


def premises(trainer: Trainer, module: LightningModule, config: dict[str, Any]) -> dict[str, str]:
    """What must be alike on all ranks before the training starts, by name."""
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))
    facts = {
        "the version of dualgan": __version__,
        "the code of dualgan": digest({str(i): path.read_text() for i, path in enumerate(sources)})[:12],
        "the version of torch": str(torch.__version__),
        "the seed": str(getattr(module, "seed", None)),
        "the number of trained parameters": str(sum(p.numel() for p in module.parameters())),
    }
    data = getattr(trainer, "datamodule", None)
    if data is not None:
        facts |= {"the size of the data set": str(data.dataset_size), "the images of the data set": data.fingerprint}
        facts["the labels of the data set"] = str(data.label_fingerprint)
    checkpoint = trainer.ckpt_path
    size = f"{Path(checkpoint).stat().st_size} bytes" if checkpoint and Path(checkpoint).is_file() else ""
    facts["the checkpoint to go on from"] = f"{checkpoint or 'none'} {size}".strip()
    settings = {name: value for name, value in flatten(config).items() if name.rpartition(".")[2] not in MAY_DIFFER}
    return facts | {f"the setting {name}": str(value) for name, value in settings.items()}


def different_premises(everyone: Sequence[Mapping[str, str]]) -> str:
    """The first differences in words: name, and the values of rank 0 and of the first rank that differs."""
    first = everyone[0]
    found = []
    for name in dict.fromkeys(key for one in everyone for key in one):
        others = [(r, one.get(name, "none")) for r, one in enumerate(everyone) if one.get(name) != first.get(name)]
        if others:
            found.append(f"{name} ({first.get(name, 'none')} on rank 0, {others[0][1]} on rank {others[0][0]})")
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


def stop(message: str, exit_code: int) -> None:
    """Let rank zero say why before any process ends: the first one that does takes the others with it.

    Raises:
        RankMismatchError: Always.
    """
    if rank() == 0:
        print(f"error: {message}", file=sys.stderr, flush=True)
    dist.barrier()
    raise RankMismatchError(message, exit_code)
