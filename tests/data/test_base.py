from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dualgan.data import Batch, SyntheticCLEVR
from dualgan.data.base import TrainingState


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def make(cache: str, **changes: Any) -> SyntheticCLEVR:
    settings = {"num_images": 12, "resolution": 8, "batch_size": 4, "num_renderers": 1, "cache_dir": cache}
    return SyntheticCLEVR(**{**settings, **changes})


def real(data: SyntheticCLEVR, **kwargs: int) -> Tensor:
    return torch.cat([batch.images for batch in data.reference_dataloader(**kwargs)])


class Recorder(LightningModule):
    """Remembers what a training step sees."""

    images_seen: Tensor

    def __init__(self, images_seen: int = 0, takes_reference: bool = False) -> None:
        super().__init__()
        self.takes_reference = takes_reference
        self.register_buffer("images_seen", torch.tensor(images_seen))
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches: list[Batch] = []
        self.validated = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.batches.append(batch)
        return self.weight * 1.0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        assert (batch.reference is not None) == self.takes_reference
        assert batch.reference is None or batch.reference.shape == batch.images.shape
        self.validated += len(batch.images)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data: SyntheticCLEVR, module: Recorder, steps: int) -> list[Batch]:
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, use_distributed_sampler=False, logger=False, val_check_interval=steps,
        check_val_every_n_epoch=None, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return module.batches


# Lightning 2.6 asks torch's pytree in a way that torch 2.9 calls old.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_training_sees_floats_and_continues_at_images_seen(cache: str) -> None:
    module = Recorder()
    whole = fit(make(cache, num_val=5), module, steps=5)
    resumed = fit(make(cache), Recorder(images_seen=8), steps=3)
    assert module.validated % 5 == 0
    assert module.validated > 0
    for batch in whole:
        assert batch.images.shape == (4, 3, 8, 8)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert -1 <= batch.images.min() < batch.images.max() <= 1
        assert batch.labels is None
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[2:], resumed, strict=True))


def test_references_come_in_an_order_of_their_own_and_continue(cache: str) -> None:
    module = Recorder(takes_reference=True)
    whole = fit(make(cache, num_val=5), module, steps=6)
    resumed = fit(make(cache), Recorder(images_seen=8, takes_reference=True), steps=4)
    plain = fit(make(cache), Recorder(), steps=6)
    assert module.validated > 0
    assert all(torch.equal(a.images, b.images) and b.reference is None for a, b in zip(whole, plain, strict=True))
    references = [batch.reference for batch in whole if batch.reference is not None]
    again = [batch.reference for batch in resumed if batch.reference is not None]
    assert all(torch.equal(a, b) for a, b in zip(references[2:], again, strict=True))
    assert references[0].is_contiguous(memory_format=torch.channels_last)
    epochs = [torch.cat(references[k : k + 3]) for k in (0, 3)]
    everything = torch.cat([batch.images for batch in whole[:3]])
    for epoch in epochs:  # every image once
        assert sorted(x.numpy().tobytes() for x in epoch) == sorted(x.numpy().tobytes() for x in everything)
    assert not torch.equal(*epochs)
    assert not torch.equal(epochs[0], everything)


@pytest.mark.parametrize("missing", ["images_seen", "takes_reference"])
def test_a_module_that_cannot_say_where_it_is_gets_no_images(cache: str, missing: str) -> None:
    module = Recorder(images_seen=8)
    delattr(module, missing)
    with pytest.raises(TypeError, match=r"Recorder cannot take images of SyntheticCLEVR: .*images_seen.*takes_ref"):
        fit(make(cache), module, steps=1)


def test_ranks_share_the_references_of_one_process(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(*place: int) -> list[Batch]:
        data = make(cache)
        monkeypatch.setattr(data, "_place", lambda: place)
        monkeypatch.setattr(data, "_state", lambda: TrainingState(takes_reference=True))
        return list(islice(data.train_dataloader(), 3))

    for whole, even, odd in zip(first(0, 1), first(0, 2), first(1, 2), strict=True):
        assert whole.reference is not None
        for got, half in ((even, whole.reference[::2]), (odd, whole.reference[1::2])):
            assert got.reference is not None
            assert torch.equal(got.reference, half)


def test_workers_load_the_same_batches(cache: str) -> None:
    def first(workers: int) -> Iterator[Batch]:
        return islice(make(cache, num_workers=workers).train_dataloader(), 4)

    assert all(torch.equal(a.images, b.images) for a, b in zip(first(0), first(1), strict=True))


def test_mirroring_adds_each_image_flipped_once(cache: str) -> None:
    data = make(cache, mirror=True)
    epoch = torch.cat([batch.images for batch in islice(data.train_dataloader(), 6)])
    images = real(data)
    assert data.dataset_size == len(images) == 12
    expected = torch.cat([images, images.flip(2)])
    assert sorted(image.numpy().tobytes() for image in epoch) == sorted(x.numpy().tobytes() for x in expected)


def test_subsets_are_seeded_and_nested(cache: str) -> None:
    small, large, other = (real(make(cache, subset=n, subset_seed=s)) for n, s in ((4, 0), (8, 0), (4, 1)))
    assert len(small) == 4
    assert {x.numpy().tobytes() for x in small} < {x.numpy().tobytes() for x in large}
    assert not torch.equal(small, other)


def test_validation_is_the_ordered_beginning(cache: str) -> None:
    data = make(cache, num_val=7)
    sizes = [len(batch.images) for batch in data.val_dataloader()]
    assert sizes == [4, 3]
    assert torch.equal(torch.cat([batch.images for batch in data.test_dataloader()]), real(data)[:7])
    assert torch.equal(real(data, num=5, batch_size=2), real(data)[:5])


def test_loading_leaves_the_global_generator_alone(cache: str) -> None:
    state = torch.get_rng_state()
    next(iter(make(cache).train_dataloader()))
    assert torch.equal(torch.get_rng_state(), state)


def test_other_batches_pass_through(cache: str) -> None:
    assert make(cache).on_after_batch_transfer("seeds", 0) == "seeds"


@pytest.mark.parametrize("resolution", [-8, 0, 4, 2048])
def test_resolution_must_be_in_range(cache: str, resolution: int) -> None:
    with pytest.raises(ValueError, match=f"resolution {resolution} is out of range: expected 8 to 1024"):
        make(cache, resolution=resolution)


def test_any_resolution_in_range_is_loaded(cache: str) -> None:
    data = make(cache, resolution=12)
    assert fit(data, Recorder(), steps=1)[0].images.shape == (4, 3, 12, 12)


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 0), ("num_val", 0), ("num_workers", -1), ("seed", -1), ("subset_seed", -1), ("subset", 0)],
)
def test_impossible_numbers_are_named(cache: str, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} {value} is too small: expected"):
        make(cache, **{name: value})


def test_batch_larger_than_the_set_is_refused(cache: str) -> None:
    data = make(cache, batch_size=16)
    data.prepare_data()
    with pytest.raises(ValueError, match="batch_size 16 is larger than the data set of 12 images"):
        data.setup("fit")


def test_batch_must_split_over_the_ranks(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(cache)
    monkeypatch.setattr(data, "_place", lambda: (0, 3))
    with pytest.raises(ValueError, match=r"batch_size 4 cannot be split over 3 devices.*multiple of 3"):
        data.train_dataloader()


def test_subset_larger_than_the_set_is_refused(cache: str) -> None:
    data = make(cache, subset=13)
    data.prepare_data()
    with pytest.raises(ValueError, match="subset 13 is larger than the data set of 12 images"):
        data.setup()
