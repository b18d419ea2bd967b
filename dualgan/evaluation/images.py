"""What is measured: sequences of images whose parts can be had in any order, real ones and generated ones."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dualgan.files.atomic import digest
from dualgan.networks.classes import ImageClass, class_names, existing_classes
from dualgan.networks.sampling import drawn_classes, generate
from dualgan.runtime.distributed import rank
from dualgan.runtime.seeding import reseed

logger = logging.getLogger("dualgan.evaluation")

SEEDS_PER_RUN = 2**20  # evaluation seed s owns the image seeds s * 2**20, ..., (s + 1) * 2**20 - 1
NUM_FAKE = 50_000  # images that are generated where no number is given: the field's
BATCH_SIZE = 64  # it is part of FDDF's result: minibatch statistics see the batch


class ReferenceSet(Protocol):
    """Images that can be told from any other set of images."""

    @property
    def fingerprint(self) -> str:
        """Text that changes whenever the images or their preprocessing do."""

    @property
    def dataset_size(self) -> int:
        """Number of images."""

    @property
    def mirrored(self) -> bool:
        """Whether every image is there a second time, flipped left to right."""

    @property
    def whole(self) -> bool:
        """Whether it is a whole set, every image once, and no part of one that was trained on."""

    @property
    def label_counts(self) -> Tensor | None:
        """Images of every class, int64 [classes]; None without labels."""

    def reference_dataloader(self, num: int | None, *, batches: Sequence[range]) -> Iterable[Any]:
        """Some batches of `num` images in a fixed order: objects with `.images`, uint8 [n, H, W, C], or tuples of it.

        `batches` says which of the `num` images are in each.
        """


class Images(Protocol):
    """A fixed sequence of images."""

    @property
    def count(self) -> int:
        """Number of images."""

    def batches(self, batches: Sequence[range]) -> Iterator[Tensor]:
        """Yield the images of each range of positions, uint8 [n, H, W, C]."""


@dataclass(frozen=True)
class SetImages:
    """The first `count` images of a set, in its order.

    Args:
        reference: the set.
        count: number of images, at most the set's.
    """

    reference: ReferenceSet
    count: int

    def batches(self, batches: Sequence[range]) -> Iterator[Tensor]:
        """Yield the images of each range of positions, uint8 [n, H, W, C].

        Raises:
            ValueError: the set yields other numbers of images than it says.
        """
        yielded = 0
        for batch in self.reference.reference_dataloader(self.count, batches=batches):
            images = _images(batch)
            yielded += len(images)
            yield images
        wanted = sum(map(len, batches))
        if yielded != wanted:
            raise ValueError(
                f"the reference set yielded {yielded} images instead of {wanted}: its dataset_size "
                f"{self.reference.dataset_size} or its reference_dataloader is wrong."
            )


@dataclass(frozen=True)
class GeneratedImages:
    """Images of a generator, from the seeds seed * 2**20, seed * 2**20 + 1, ...

    Args:
        generator: as `dualgan.networks.sampling.generate` wants it; lives on `device`.
        count: 2 to 2**20.
        seed: of the evaluation, 0 to 4095: torch's CPU generator knows 2**32 image seeds.
        truncation_psi: for the generator.
        noise_mode: for the generator; with "random" noise is drawn once per batch, from the batch's first seed.
        device: where to run.
        label_counts: images of every class [num_classes], which classes are drawn by; None draws them uniformly.

    Raises:
        ValueError: a count or a seed out of range.
    """

    generator: nn.Module
    count: int
    seed: int = 0
    truncation_psi: float = 1.0
    noise_mode: str = "const"
    device: torch.device | str = "cpu"
    label_counts: Tensor | None = None

    def __post_init__(self) -> None:
        check_evaluation(self.seed)
        if not 2 <= self.count <= SEEDS_PER_RUN:
            raise ValueError(
                f"num_fake {self.count} is out of range: expected 2 to {SEEDS_PER_RUN} images; 50000 is usual."
            )

    @property
    def record(self) -> dict[str, Any]:
        """What the images depend on, for the record; plain JSON types."""
        made: dict[str, Any] = {"truncation_psi": self.truncation_psi, "noise_mode": self.noise_mode}
        if self.generator.num_classes:
            counts = self.label_counts
            made["classes"] = "uniform" if counts is None else "as in the real images"
            made["class_counts"] = None if counts is None else digest(counts.tolist())
        return made

    @property
    def seeds(self) -> range:
        """The image seeds."""
        return range(self.seed * SEEDS_PER_RUN, self.seed * SEEDS_PER_RUN + self.count)

    def batches(self, batches: Sequence[range]) -> Iterator[Tensor]:
        """Yield the images of each range of positions, uint8 [n, H, W, C]."""
        for positions in batches:
            seeds = self.seeds[positions.start : positions.stop]
            if self.noise_mode == "random":
                reseed("noise of an evaluation", seeds[0])
            yield from generate(
                self.generator,
                seeds,
                labels=drawn_classes(self.generator, seeds, self.label_counts),
                truncation_psi=self.truncation_psi,
                noise_mode=self.noise_mode,
                batch_size=len(positions),
                device=self.device,
                require_finite=True,
            )


def check_evaluation(seed: int, batch_size: int = BATCH_SIZE) -> None:
    """Refuse settings that no evaluation can have.

    Raises:
        ValueError: a seed out of range, or no image per batch.
    """
    if not 0 <= seed < 2**32 // SEEDS_PER_RUN:
        raise ValueError(f"seed {seed} is out of range: an evaluation has seeds 0 to {2**32 // SEEDS_PER_RUN - 1}.")
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is too small: give 1 or more")


def class_counts(generator: nn.Module, reference: ReferenceSet) -> Tensor | None:
    """How often an evaluation draws each class: as often as the reference set has it, float64 [num_classes].

    Classes are the same where their names are: the set's may be numbered in another way, or be some of the generator's.
    None, which is uniform, where the set has no labels; a warning says so.

    Raises:
        ValueError: the set has classes that the generator has not.
    """
    counts, num_classes = reference.label_counts, int(generator.num_classes)  # type: ignore[arg-type]
    if num_classes == 0:
        return None
    if counts is None:
        if rank() == 0:
            logger.warning(
                "The real images have no labels, or use_labels is not set for them: the %d classes of the generator "
                "are drawn equally often, which is another distribution than that of its training set unless that is "
                "balanced.",
                len(existing_classes(generator)),
            )
        return None
    names: Sequence[str] = getattr(reference, "class_names", ())  # sets from elsewhere may have numbers alone
    own = {name: k for k, name in enumerate(class_names(generator))}
    unknown = [name for name, images in zip(names, counts.tolist(), strict=False) if images and name not in own]
    if names and not unknown:
        numbers = torch.tensor([own.get(name, -1) for name in names])
        here = numbers >= 0  # others have no images
        return torch.zeros(num_classes, dtype=torch.float64).index_put((numbers[here],), counts[here].double())
    named: Sequence[ImageClass] = getattr(generator, "classes", ())
    if unknown and named:
        raise ValueError(
            f"the real images have the class '{unknown[0]}', and the generator none of that name: compare it with "
            f"images of the classes that it was trained on."
        )
    if len(counts) > num_classes:
        raise ValueError(
            f"the real images have {len(counts)} classes, and the generator {num_classes}: compare it with images of "
            f"the classes that it was trained on."
        )
    return torch.nn.functional.pad(counts.cpu().double(), (0, num_classes - len(counts)))


def images_of(
    generator: nn.Module,
    reference: ReferenceSet,
    count: int,
    seed: int = 0,
    truncation_psi: float = 1.0,
    noise_mode: str = "random",
    device: torch.device | str = "cpu",
) -> GeneratedImages:
    """The images of a generator that are compared with a reference set; arguments as for `GeneratedImages`."""
    if not getattr(generator, "has_noise", True):
        if noise_mode == "none" and rank() == 0:
            logger.warning("noise_mode 'none' has no effect: this generator was built without noise.")
        noise_mode = "const"
    counts = class_counts(generator, reference)
    return GeneratedImages(generator, count, seed, truncation_psi, noise_mode, device, counts)


def _images(batch: Any) -> Tensor:
    if isinstance(batch, Tensor):
        return batch
    images: Tensor = batch.images if hasattr(batch, "images") else batch[0]
    return images
