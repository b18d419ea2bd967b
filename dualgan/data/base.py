"""What all sets of real images share: loaders, order, mirroring, subsets, fingerprint."""

import hashlib
import warnings
from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from dualgan.data.arguments import check_choice, check_least, check_resolution
from dualgan.data.batches import Batch, ImageSource, RealImages, ReferenceImages, image_loader, with_reference
from dualgan.data.sampler import InfiniteBatchSampler, ReferenceBatchSampler, epoch_permutation
from dualgan.files.atomic import digest
from dualgan.pictures.pixels import to_float
from dualgan.runtime.seeding import mix_seed


class TrainingState(NamedTuple):
    """What a set asks the module that is trained on it, which has attributes of these names.

    Attributes:
        images_seen: Real images that it has been trained on, over all devices together.
        takes_reference: Whether every batch must bring reference images.
    """

    images_seen: int = 0
    takes_reference: bool = False


class ImageDataModule(LightningDataModule):
    """Real images of one resolution. Subclasses say where they come from: `prepare_data` and `_open`.

    The trainer's module has the attributes of a `TrainingState`; any other gets a TypeError. The order of training
    images is a pure function of `seed` and its `images_seen`, see `InfiniteBatchSampler`. If it `takes_reference`,
    every batch has reference images, in an order of their own that is a function of the same. Pass
    `Trainer(use_distributed_sampler=False)`: the sampler itself splits batches over ranks.

    Args:
        resolution: Height and width of the images, 8 to 1024; StyleGAN2 takes powers of two.
        batch_size: Images per training step over all devices together.
        num_workers: Processes that load batches; 0 loads in the main process.
        mirror: Also train on every image flipped left to right.
        subset: Train on this many images only, drawn at random, or on this fraction of them (0.2); all by default.
        subset_seed: Seed of the draw of the subset.
        seed: Seed of the order of training images.
        num_val: Number of images, the first ones, in the validation and test loaders.
        reference: What metrics compare with: "full" is the set without `subset`, "train" the images trained on.

    Raises:
        ValueError: For a resolution, batch size, seed, subset or reference that cannot work.
    """

    registry: ClassVar[dict[str, type["ImageDataModule"]]] = {}
    """The data sets by name; classes that several of them share are not among them."""

    usual_classes: ClassVar[int | None] = None
    """Number of classes that the set as published has; None where only the files tell."""

    shuffled = False
    """Whether the first images are as good a sample of the set as any others."""

    def __init_subclass__(cls, registered: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if registered:
            ImageDataModule.registry[cls.__name__] = cls

    def __init__(
        self,
        resolution: int,
        batch_size: int = 32,
        num_workers: int = 0,
        mirror: bool = False,
        subset: int | float | None = None,
        subset_seed: int = 0,
        seed: int = 0,
        num_val: int = 512,
        reference: str = "full",
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        check_least("batch_size", batch_size, 1)
        check_least("num_val", num_val, 1)
        check_least("num_workers", num_workers, 0)
        check_least("seed", seed, 0)
        check_least("subset_seed", subset_seed, 0)
        self._check_reference(reference)
        self.resolution = resolution
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.mirror = mirror
        self.subset = _as_count_or_fraction(subset)
        self.subset_seed = subset_seed
        self.seed = seed
        self.num_val = num_val
        self.reference = reference
        self._source: ImageSource | None = None
        self._chosen: NDArray[np.int64] | None = None

    @abstractmethod
    def _open(self) -> ImageSource:
        """Open the set that `prepare_data` left on disk."""

    def setup(self, stage: str | None = None) -> None:
        """Open the set in this process.

        Raises:
            ValueError: When the subset is larger than the set, or (stage "fit") the batch is.
        """
        if self._source is None:
            source = self._open()
            self._chosen = self._choose(len(source))
            self._source = source
        if stage == "fit":
            self._check_batch()
        if self.num_workers == 0:
            # Lightning asks for more workers whenever there are none, but none was asked for here.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")

    def _choose(self, size: int) -> NDArray[np.int64]:
        if self.subset is None:
            return np.arange(size)
        count = round(self.subset * size) if isinstance(self.subset, float) else self.subset
        if not 1 <= count <= size:
            problem = "less than one" if count < 1 else "larger than the data set"
            raise ValueError(
                f"subset {self.subset} is {problem} of {size} images. Pass 2 to {size} images, or leave it out."
            )
        # One permutation for all sizes: smaller subsets are parts of larger ones.
        return np.sort(epoch_permutation(self.subset_seed, 0, size)[:count])

    def _check_reference(self, reference: str) -> None:
        check_choice(f"reference of {type(self).__name__}", reference, Literal["full", "train"])

    def _ready(self) -> tuple[ImageSource, NDArray[np.int64]]:
        if self._source is None:
            self.prepare_data()
            self.setup()
        assert self._source is not None
        assert self._chosen is not None
        return self._source, self._chosen

    @property
    def num_channels(self) -> int:
        """3 for colour, 1 for gray."""
        return self._ready()[0].num_channels

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 for sets without labels."""
        return len(self.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their numbers, also of those without an image; empty without labels."""
        return self._ready()[0].class_names

    @property
    def label_counts(self) -> Tensor | None:
        """Images of every class among those in use, int64 [num_classes]; None without labels."""
        source, chosen = self._ready()
        labels = source.labels
        return None if labels is None else torch.from_numpy(np.bincount(labels[chosen], minlength=self.num_classes))

    @property
    def dataset_size(self) -> int:
        """Number of images in use, before mirroring."""
        return len(self._ready()[1])

    @property
    def fingerprint(self) -> str:
        """Hash of what the images are: content, resolution, resize filter, crop, channels and subset."""
        source, chosen = self._ready()
        if len(chosen) == len(source):
            return source.fingerprint
        return digest({"set": source.fingerprint, "subset": len(chosen), "subset_seed": self.subset_seed})

    @property
    def label_fingerprint(self) -> str | None:
        """Hash of the classes of the images in use, which `fingerprint` leaves out; None without labels."""
        source, chosen = self._ready()
        return None if source.labels is None else hashlib.sha256(source.labels[chosen].tobytes()).hexdigest()[:16]

    def reference_set(self, num: int | None = None) -> ReferenceImages:
        """Return the images that metrics compare with, as `reference` says.

        Args:
            num: How many of them are compared with. All is every image once; a number is drawn from what is trained
                on, with `mirror` from the mirrored images too, as the published fid50k_full and fid50k are.

        Raises:
            ValueError: When they cannot be opened.
        """
        source, chosen = self._ready()
        fingerprint = self.fingerprint
        if self.reference != "train":
            source = self._reference_source()
            chosen, fingerprint = np.arange(len(source)), source.fingerprint
        mirrored = self.mirror and num is not None
        whole = len(chosen) == len(source)
        return ReferenceImages(source, chosen, fingerprint, self.shuffled, self.num_workers, mirrored, whole)

    def _reference_source(self) -> ImageSource:
        return self._ready()[0]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Endless loader of this rank's part of every global batch, from the module's `images_seen` on.

        Raises:
            ValueError: When batch_size cannot be split over the ranks, or is larger than the set.
        """
        rank, world_size = self._place()
        self._check_batch()
        source, chosen = self._ready()
        images = RealImages(source, chosen, self.mirror)
        state = self._state()

        def batches(seed: int) -> InfiniteBatchSampler:
            share = self.batch_size // world_size
            return InfiniteBatchSampler(len(images), share, seed, state.images_seen, rank, world_size)

        settings: dict[str, Any] = {"batch_sampler": batches(self.seed), "persistent_workers": self.num_workers > 0}
        if state.takes_reference:
            references = batches(mix_seed(self.seed, "reference"))
            settings["batch_sampler"] = ReferenceBatchSampler(settings["batch_sampler"], references)
            settings["collate_fn"] = with_reference
        return image_loader(images, self.num_workers, **settings)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Finite, ordered loader of the first `num_val` images; their references are from the whole set."""
        if not self._state().takes_reference:
            return self.reference_dataloader(self.num_val, self.batch_size)
        source, chosen = self._ready()
        others = epoch_permutation(mix_seed(self.seed, "reference"), 0, len(chosen))[: self.num_val].tolist()
        primaries, references = (BatchSampler(order, self.batch_size, False) for order in (range(len(others)), others))
        order = {"batch_sampler": list(ReferenceBatchSampler(primaries, references)), "collate_fn": with_reference}
        return image_loader(RealImages(source, chosen, False), self.num_workers, **order)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Finite, ordered loader of the first `num_val` images."""
        return self.val_dataloader()

    def reference_dataloader(self, num: int | None = None, batch_size: int = 64) -> DataLoader[Batch]:
        """Finite, ordered loader of the first `num` images (all by default), never mirrored; needs no trainer."""
        source, chosen = self._ready()
        return image_loader(RealImages(source, chosen[:num], False), self.num_workers, batch_size=batch_size)

    def first_of_class(self, number: int, count: int) -> Tensor:
        """The first images of a class, never mirrored: uint8 [at most count, H, W, C]."""
        source, chosen = self._ready()
        assert source.labels is not None
        return torch.from_numpy(source.read(chosen[source.labels[chosen] == number][:count]))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Turn the images of a `Batch` into floats [N, C, H, W] in [-1, 1]; other batches (predict) pass through."""
        if not isinstance(batch, Batch):
            return batch
        reference = None if batch.reference is None else to_float(batch.reference)
        return Batch(to_float(batch.images), batch.labels, reference)

    def _place(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _check_batch(self) -> None:
        _, world_size = self._place()
        if self.batch_size % world_size:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be split over {world_size} devices: it counts the images of all "
                f"devices together. Pass a multiple of {world_size}."
            )
        if self.batch_size > self.dataset_size:
            raise ValueError(
                f"batch_size {self.batch_size} is larger than the data set of {self.dataset_size} images. Pass a "
                f"batch_size of at most {self.dataset_size}, or more images."
            )

    def _state(self) -> TrainingState:
        module: Any = None if self.trainer is None else self.trainer.lightning_module
        if module is None:
            return TrainingState()
        try:
            return TrainingState(int(module.images_seen), module.takes_reference)
        except AttributeError as error:
            raise TypeError(
                f"{type(module).__name__} cannot take images of {type(self).__name__}: expected its attributes "
                f"images_seen, from which the order of images goes on, and takes_reference ({error})."
            ) from error


def _as_count_or_fraction(subset: int | float | None) -> int | float | None:
    if subset is None or 0 < subset < 1:
        return subset
    if subset < 2 or subset != int(subset):
        other = "could mean one image or all of them" if subset == 1 else "is no whole number"
        raise ValueError(
            f"subset {subset:g} {'is too small' if subset < 1 else other}: expected 2 images or more, or a fraction "
            f"between 0 and 1; leave it out for all images."
        )
    return int(subset)  # the command line may turn 1000 into 1000.0
