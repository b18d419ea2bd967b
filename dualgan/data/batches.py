"""Batches of real images: any source in memory or on disk, one `Batch` at a time."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from dualgan.data.sampler import epoch_permutation
from dualgan.files.atomic import digest
from dualgan.runtime.process import flush_denormals
from dualgan.runtime.seeding import mix_seed

_OF_THE_JOB = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}


class Batch(NamedTuple):
    """Real images and their labels, and as many reference images where the discriminator takes them.

    Loaders give uint8 images [N, H, W, C]; on the device they are float [N, C, H, W] in [-1, 1], channels_last.
    Labels are int64 [N], or None for sets without labels. References are other real images, drawn independently.
    """

    images: Tensor
    labels: Tensor | None
    reference: Tensor | None = None


class ImageSource(Protocol):
    """Random access to the images of a set, also from worker processes.

    Attributes:
        num_channels: 3 for colour, 1 for gray.
        fingerprint: Hash of what the images are and how they were prepared.
        labels: Class of every image [N], or None for a set without labels.
        class_names: Names of the classes in the order of their numbers; empty without labels.
        resize_filter: Filter that resized them; None where nothing was.
        crop: What was cut out of them; None where nothing was.
    """

    num_channels: int
    fingerprint: str

    @property
    def labels(self) -> NDArray[np.int64] | None: ...  # noqa: D102

    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def resize_filter(self) -> str | None: ...  # noqa: D102

    @property
    def crop(self) -> str | None: ...  # noqa: D102

    @property
    def names(self) -> Sequence[str] | None:
        """Names of the images; None for a set without."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images [N, H, W, C] of some indices [N], in that order, as an array of its own."""
        ...


class RealImages(Dataset[Batch]):
    """Dataset of whole batches over a source: the chosen images, then (with `mirror`) the same ones flipped."""

    def __init__(self, source: ImageSource, chosen: NDArray[np.int64], mirror: bool) -> None:
        self.source, self.chosen, self.mirror = source, chosen, mirror

    def __len__(self) -> int:
        """Return the length of the index range, mirrored images included."""
        return len(self.chosen) * (2 if self.mirror else 1)

    def __getitem__(self, index: int) -> Batch:
        """Return the batch of one image."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a batch at once: for images in memory this is one indexing operation."""
        positions = np.asarray(indices, np.int64)
        flipped, positions = np.divmod(positions, len(self.chosen))
        images = self.source.read(self.chosen[positions])
        flip = flipped == 1
        images[flip] = images[flip][:, :, ::-1]
        labels = self.source.labels
        of_these = None if labels is None else torch.from_numpy(labels[self.chosen[positions]])
        return Batch(torch.from_numpy(images), of_these)


class ReferenceImages:
    """The real images that metrics compare with: what `dualgan.evaluation.ReferenceSet` asks for.

    Beside what `ImageSource` says of them:

    Attributes:
        dataset_size: Number of images.
        mirrored: Every image is there a second time, flipped left to right.
        whole: It is a whole set, every image once.
        label_counts: Images of every class, int64 [classes]; None without labels.
        class_names: Names of the classes; empty without labels.
    """

    def __init__(
        self,
        source: ImageSource,
        chosen: NDArray[np.int64],
        fingerprint: str,
        shuffled: bool,
        num_workers: int,
        mirrored: bool = False,
        whole: bool = True,
    ) -> None:
        self.images = RealImages(source, chosen, mirrored)
        self.fingerprint = digest([fingerprint, "mirrored"]) if mirrored else fingerprint
        self.shuffled, self.num_workers, self.mirrored = shuffled and not mirrored, num_workers, mirrored
        self.whole = whole and not mirrored
        self.dataset_size = len(self.images)
        labels = source.labels
        self.class_names = source.class_names
        counts = None if labels is None else np.bincount(labels[chosen], minlength=len(self.class_names))
        self.label_counts = None if counts is None else torch.from_numpy(counts)
        self.resize_filter, self.crop, self.num_channels = source.resize_filter, source.crop, source.num_channels

    def reference_dataloader(
        self, num: int | None = None, batch_size: int = 64, *, batches: Sequence[range] | None = None
    ) -> DataLoader[Batch]:
        """Finite, ordered loader of `num` images (all by default).

        A part of files in the order of their names would be some classes and not others: it is drawn at random, the
        same for everyone, and smaller parts are in larger ones.

        Args:
            num: Number of images.
            batch_size: Images per batch.
            batches: Instead of these, the images at some of the positions 0 to num - 1 as each batch.
        """
        wanted = np.arange(len(self.images))[:num]
        if len(wanted) < len(self.images) and not self.shuffled:
            # Not a subset's seed: with `reference="full"` this would be the images that were trained on.
            order = epoch_permutation(mix_seed("images that metrics compare with"), 0, len(self.images))
            wanted = np.sort(order[:num])
        order_of = {"batch_size": batch_size} if batches is None else {"batch_sampler": batches}
        return image_loader(Subset(self.images, wanted.tolist()), self.num_workers, **order_of)


class _Loader(DataLoader[Batch]):
    """Starts its workers such that no signal of the job reaches them."""

    def __iter__(self) -> Any:
        with signals_held():
            return super().__iter__()


def image_loader(images: Dataset[Batch], num_workers: int, **order: Any) -> DataLoader[Batch]:
    """Return a loader of batches in an order that DataLoader's other arguments say."""
    settings: dict[str, Any] = {
        "collate_fn": _as_it_is,
        "worker_init_fn": _start_worker,
        "pin_memory": torch.cuda.is_available(),
        "generator": torch.Generator(),  # the loader draws a number per pass: not from the training's generator
    }
    return _Loader(images, num_workers=num_workers, **settings | order)


def with_reference(batch: Batch) -> Batch:
    """Make the second half of a batch the reference images of the first half."""
    count = len(batch.images) // 2
    labels = None if batch.labels is None else batch.labels[:count]
    return Batch(batch.images[:count], labels, batch.images[count:])


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
    flush_denormals()
    obey_the_parent_only()


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold back SIGINT, SIGTERM and SIGUSR1 in this thread, and for good in processes that it starts inside.

    Threads that a library starts in every new process at once, as W&B's telemetry does, would not block them otherwise:
    `obey_the_parent_only` comes too late for those.
    """
    if sys.platform != "linux":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_JOB)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey_the_parent_only() -> None:
    """Let this worker process end by SIGTERM of its parent, and by no other SIGINT, SIGTERM or SIGUSR1.

    A scheduler signals all processes of a job at once. The parent finishes its step, for which it needs batches, and
    then ends its workers itself: by a message, or by SIGTERM where that does not help.
    """
    if sys.platform != "linux":
        return  # no sigwaitinfo, and no schedulers
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_JOB)
    threading.Thread(target=_end_when_told_by, args=(parent,), daemon=True).start()


def _end_when_told_by(parent: int) -> None:
    while True:
        told = signal.sigwaitinfo(_OF_THE_JOB)
        if told.si_signo == signal.SIGTERM and told.si_pid == parent:
            os._exit(128 + signal.SIGTERM)
