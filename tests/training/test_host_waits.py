"""Between two log steps, nothing in a training makes the host wait for the device.

Such operations are the same on every device, so a training on the CPU shows them.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from pytorch_lightning.utilities import move_data_to_device
from torch.utils._python_dispatch import TorchDispatchMode

from dualgan.data import Batch, SyntheticCLEVR
from dualgan.gan import GAN
from tests.conftest import TINY, RunCLI

aten = torch.ops.aten

# Values that reach the host (.item(), bool(), float(), .tolist()), results whose size the device decides (boolean
# masks, unique), and tensors from numbers of the host, whose bytes come from memory that is not pinned.
WAITS = {
    aten._local_scalar_dense, aten.is_nonzero, aten.equal, aten.nonzero, aten.masked_select, aten._unique2,
    aten.unique_consecutive, aten.unique_dim, aten.repeat_interleave, aten.lift_fresh,
}  # fmt: skip


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes after which batch the host would have waited, and where in our code or Lightning's."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch, self.found = -1, dict[int, list[str]]()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        masks = func.overloadpacket is aten.index and any(i is not None and i.dtype == torch.bool for i in args[1])
        moved = func.overloadpacket is aten._to_copy and (kwargs or {}).get("device") is not None
        if func.overloadpacket in WAITS or masks or moved:
            self.note(str(func))
        return func(*args, **(kwargs or {}))

    def note(self, name: str) -> None:
        frames = [f for f in traceback.extract_stack() if "dualgan/" in f.filename or "lightning" in f.filename]
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "elsewhere"
        if "dualgan/data/batches.py" not in place:  # the loader's arrays become tensors that stay on the host
            self.found.setdefault(self.batch, []).append(f"{name} at {place}")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    mode = Waits()
    for name in ("cpu", "numpy", "tolist"):  # nothing that a CPU would dispatch
        monkeypatch.setattr(torch.Tensor, name, noting(mode, getattr(torch.Tensor, name)))

    def begin(gan: GAN, batch: Batch, batch_idx: int) -> None:
        mode.batch = gan.trainer.global_step

    monkeypatch.setattr(GAN, "on_train_batch_start", begin)
    return mode


def noting(mode: Waits, method: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any) -> Any:
        mode.note(method.__name__)
        return method(*args)

    return wrapped


EVERYTHING = (
    "--model.loss DualContrastive --model.warmup_kimg 0.05 --model.r2_gamma 1 --model.gradient_penalty 1 "
    "--model.d_reg_interval 3 --model.cooldown_kimg 0.1 --model.micro_batch 8 --data.num_workers 1"
)


AUGMENTED = (
    "--model.augmentation ADA --model.augmentation.transforms bgcfnc --model.augmentation.p 0.5 "
    "--model.auxiliary+ InstanceDiscrimination --model.auxiliary.preset insgen --model.auxiliary.forgetting queue "
    "--model.auxiliary.real_fraction 0.5 --model.auxiliary.queue_size 32"
)


GROWING = " ".join(
    f"--model.{player} StyleGAN{player.title()} --model.{player}.grow_from 4 --model.{player}.level_kimg 0.05 "
    f"--model.{player}.fade_kimg 0.1"
    for player in ("generator", "discriminator")
)


@pytest.mark.parametrize(
    "extras", ["", AUGMENTED, "--model.augmentation DiffAugment", "--model.augmentation APA", GROWING]
)
def test_the_host_waits_at_log_steps_only(extras: str, run_cli: RunCLI, waits: Waits) -> None:
    every, steps, batch = 5, 18, 16
    with waits:
        run_cli.succeeds(
            "fit", *TINY, *EVERYTHING.split(), *extras.split(), "--data.batch_size", batch, "--model.total_kimg",
            steps * batch / 1000, "--trainer.log_every_n_steps", every,
        )  # fmt: skip
    assert waits.batch == steps - 1
    # Batch 4 is logged as step 5. What happens once is charged to the batches around the training.
    logged = range(every - 1, steps, every)
    once = (-1, steps - 1, *([0] if extras == AUGMENTED else []))  # ADA keeps its filters from the first batch on
    between = {number: found for number, found in waits.found.items() if number not in (*logged, *once)}
    assert between == {}
    assert all(number in waits.found for number in logged), "the log steps themselves must have been seen"


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.item(),
        lambda x: bool(x > 0),
        lambda x: x[None][x[None] > 0],
        lambda x: torch.tensor(1.0, device=x.device),
        lambda x: x[None].tolist(),
        lambda x: torch.equal(x, x),
        lambda x: x.cpu(),
        lambda x: x.numpy(),
    ],
)
def test_every_kind_of_wait_is_seen(wait: Callable[[torch.Tensor], object], waits: Waits) -> None:
    x = torch.ones(())
    with waits:
        wait(x)
    assert waits.found


def test_batches_go_to_the_device_as_bytes_without_waiting() -> None:
    class Moves(TorchDispatchMode):  # type: ignore[no-untyped-call]
        found: list[tuple[torch.dtype, bool]] = []  # noqa: RUF012

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is aten._to_copy.default and kwargs.get("device") is not None:
                self.found.append((args[0].dtype, kwargs["non_blocking"]))
            return func(*args, **(kwargs or {}))

    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    with Moves() as moves:  # type: ignore[no-untyped-call]
        there = move_data_to_device(Batch(images, torch.zeros(2, dtype=torch.int64), images), torch.device("meta"))
    assert moves.found == [(torch.uint8, True), (torch.int64, True), (torch.uint8, True)]
    converted = SyntheticCLEVR(resolution=8).on_after_batch_transfer(there, 0)
    assert isinstance(converted, Batch)
    assert converted.images.device == torch.device("meta")
    assert converted.images.dtype == torch.float32
    assert converted.images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("cuda", [False, True])
def test_loaders_pin_their_batches_for_a_gpu(cuda: bool, caches: None, monkeypatch: pytest.MonkeyPatch) -> None:
    data = SyntheticCLEVR(resolution=8, num_images=16, batch_size=8, num_workers=2)
    data.prepare_data()
    data.setup("fit")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    loader = data.train_dataloader()
    assert loader.pin_memory == cuda
    assert loader.persistent_workers
    assert loader.prefetch_factor == 2
