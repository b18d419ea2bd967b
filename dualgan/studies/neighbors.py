"""Has the generator memorised? Its images beside the nearest training images (FakeCLR's supplement, Fig. 4 and 5)."""

# Q queries, N training images, K neighbours, D dimensions, H W C image

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dualgan.data.base import ImageDataModule
from dualgan.data.batches import RealImages, image_loader
from dualgan.metrics import FeatureExtractor
from dualgan.networks import Generator
from dualgan.networks.sampling import generate
from dualgan.pictures.figures import COLOURS, DPI, MAX_ROWS, show
from dualgan.runtime.progress import Progress

Space = Literal["pixel", "perceptual"]
SPACES: tuple[Space, ...] = ("pixel", "perceptual")
PIXEL_MEASURE = "root mean square difference of pixel values from 0 to 1"
BATCH = 64  # training images in memory at a time
PANEL = 1.2  # inches


@dataclass(frozen=True)
class Nearest:
    """The training images nearest to each query in one space, nearest first.

    Attributes:
        measure: What the distances are, in words.
        label: The same for a narrow place.
        distances: float32 [Q, K].
        indices: Places in the whole set, before `subset`; int64 [Q, K].
        mirrored: Whether it is the flipped image that is near, bool [Q, K]; only in sets with `mirror`.
        names: Names of files or records, one list per query; None for sets without.
        images: uint8 [Q, K, H, W, C], flipped where `mirrored`.
    """

    measure: str
    label: str
    distances: np.ndarray
    indices: np.ndarray
    mirrored: np.ndarray
    names: list[list[str]] | None
    images: np.ndarray

    def of(self, q: int) -> list[dict[str, Any]]:
        """What is near a query, as plain data."""
        return [
            {
                "index": int(self.indices[q, n]),
                "name": None if self.names is None else self.names[q][n],
                "mirrored": bool(self.mirrored[q, n]),
                "distance": float(self.distances[q, n]),
            }
            for n in range(self.indices.shape[1])
        ]


@dataclass(frozen=True)
class Neighbors:
    """Generated images and the training images nearest to them.

    Attributes:
        seeds: One per query.
        queries: Generated images, uint8 [Q, H, W, C].
        spaces: What was found, by space.
        num_searched: Number of training images, flipped ones included.
        fingerprint: Of the training images.
    """

    seeds: list[int]
    queries: np.ndarray
    spaces: dict[Space, Nearest]
    num_searched: int
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """Everything but the pixels as plain data."""
        return {
            "data_fingerprint": self.fingerprint,
            "num_searched": self.num_searched,
            "spaces": {
                space: {
                    "measure": found.measure,
                    "neighbors": [{"seed": seed, "nearest": found.of(q)} for q, seed in enumerate(self.seeds)],
                }
                for space, found in self.spaces.items()
            },
        }


def find_neighbors(
    generator: Generator,
    data: ImageDataModule,
    seeds: Sequence[int],
    k: int = 5,
    spaces: Sequence[Space] = SPACES,
    *,
    extractor: FeatureExtractor | None = None,
    labels: Tensor | None = None,
    truncation_psi: float = 1.0,
) -> Neighbors:
    """Search all images that `data` trains on, in one pass that holds few of them at a time.

    Equal distances are in the order of the set. With `data.mirror` flipped images are searched too.

    Args:
        generator: Runs where its parameters are, and the search with it.
        data: The training images.
        seeds: One per query, 1 to 32.
        k: Neighbours per query and space, 1 or more.
        spaces: "pixel", "perceptual" or both.
        extractor: Gives the features whose Euclidean distance is the perceptual one.
        labels: Class indices int64 [Q]; None draws them from the seeds where the generator has classes.
        truncation_psi: 1 for none.

    Raises:
        ValueError: The data does not fit the generator, k is above the number of images, seeds, spaces or labels do
            not fit, or there is no extractor for the perceptual space.
    """
    check_search(seeds, k, spaces)
    if ("perceptual" in spaces) != (extractor is not None):
        raise ValueError("the perceptual space, and only that, needs a feature extractor: see dualgan.metrics")
    check_data(data, generator)
    dataset = training_images(data)
    if k > len(dataset):
        raise ValueError(f"k {k} does not fit a training set of {len(dataset)} images: expected 1 to {len(dataset)}")
    images = torch.cat(list(generate(generator, seeds, labels=labels, truncation_psi=truncation_psi, batch_size=BATCH)))
    searches = {space: _Search(extractor if space == "perceptual" else None, images, k) for space in spaces}
    loader = image_loader(dataset, data.num_workers, batch_size=BATCH)
    with Progress("Searching", len(dataset)) as shown:
        for batch in loader:
            for search in searches.values():
                search.add(batch.images.to(images.device))
            shown.update(len(batch.images))
    return Neighbors(
        list(seeds),
        images.cpu().numpy(),
        {space: search.found(dataset) for space, search in searches.items()},
        len(dataset),
        data.fingerprint,
    )


def check_search(seeds: Sequence[int], k: int, spaces: Sequence[str]) -> None:
    """Refuse a search that cannot be made of any images.

    Raises:
        ValueError: Too many seeds, no neighbours, or unknown spaces.
    """
    if not 1 <= len(seeds) <= MAX_ROWS:
        raise ValueError(f"{len(seeds)} seeds: a figure has 1 to {MAX_ROWS} rows, one per seed")
    if not spaces or len(set(spaces)) < len(spaces) or set(spaces) - set(SPACES):
        raise ValueError(f"spaces {' '.join(spaces)!r}: expected pixel, perceptual or both, each once")
    if k < 1:
        raise ValueError(f"k {k} is too small: give the number of neighbours, 1 or more")


def check_data(data: ImageDataModule, generator: Generator) -> None:
    """Match real images with a generator.

    Raises:
        ValueError: They have another resolution or number of channels.
    """
    for name in ("resolution", "num_channels"):
        of_data, wanted = getattr(data, name), getattr(generator, name)
        if of_data != wanted:
            raise ValueError(
                f"the data has {name} {of_data}, and the generator {name} {wanted}: pass the data that the checkpoint "
                f"was trained on, or other images of {name} {wanted}"
            )


def training_images(data: ImageDataModule) -> RealImages:
    """What a training reads: the subset, if there is one, then with `mirror` the same images flipped."""
    images = data.reference_dataloader().dataset
    assert isinstance(images, RealImages)
    return RealImages(images.source, images.chosen, data.mirror)


class _Search:
    """The K images nearest to every query among images that come in batches, uint8 [n, H, W, C].

    Args:
        extractor: Gives the features that are compared; None compares pixels.
        queries: uint8 [Q, H, W, C].
        k: Number of images to keep.
    """

    def __init__(self, extractor: FeatureExtractor | None, queries: Tensor, k: int) -> None:
        self.extractor = None if extractor is None else extractor.to(queries.device)
        self.queries, self.k, self.searched = self.embed(queries), k, 0
        self.distances = self.queries.new_empty(len(queries), 0)
        self.positions = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)

    def embed(self, images: Tensor) -> Tensor:
        """Vectors [n, D] whose Euclidean distance is that of the space."""
        if self.extractor is not None:
            rows: Tensor = self.extractor(images)
        else:
            rows = images.flatten(1).float() / (255 * images[0].numel() ** 0.5)
        return rows

    def add(self, images: Tensor) -> None:
        """Search a batch."""
        # not by |x|^2 + |y|^2 - 2xy: its rounding would give copies a distance
        new = torch.cdist(self.queries, self.embed(images), compute_mode="donot_use_mm_for_euclid_dist")
        places = torch.arange(self.searched, self.searched + len(images), device=images.device)
        self.searched += len(images)
        distances = torch.cat([self.distances, new], dim=1)
        positions = torch.cat([self.positions, places.expand(len(self.queries), -1)], dim=1)
        self.distances, order = (part[:, : self.k] for part in distances.sort(dim=1, stable=True))
        self.positions = positions.gather(1, order)

    def found(self, dataset: RealImages) -> Nearest:
        """The result of a search of all of a training set."""
        positions = self.positions.cpu().numpy()
        mirrored, places = np.divmod(positions, len(dataset.chosen))
        indices = dataset.chosen[places]
        names = getattr(dataset.source, "names", None)
        images = dataset.__getitems__(positions.ravel().tolist()).images.numpy()
        name = self.extractor.name if self.extractor else None
        return Nearest(
            f"Euclidean distance of {name} features" if name else PIXEL_MEASURE,
            name or "RMS difference",
            self.distances.cpu().numpy(),
            indices,
            mirrored == 1,
            None if names is None else [[str(names[index]) for index in row] for row in indices],
            images.reshape(*positions.shape, *images.shape[1:]),
        )


def draw_neighbors(neighbors: Neighbors) -> Figure:
    """One row per seed: the generated image in a coloured frame, then its neighbours, nearest first, with distances.

    A distance with an arrow is that of a flipped image.
    """
    rows, k = len(neighbors.seeds), next(iter(neighbors.spaces.values())).indices.shape[1]
    widths = [1.0] + [float(k)] * len(neighbors.spaces)
    size = (sum(widths) * PANEL + 0.3 * len(widths), rows * (PANEL + 0.25) + 0.6)
    figure = Figure(figsize=size, dpi=max(DPI, int(neighbors.queries.shape[1] / PANEL) + 1), layout="constrained")
    parts = figure.subfigures(1, len(widths), width_ratios=widths, wspace=0.02, squeeze=False)[0]
    parts[0].suptitle("generated\n", fontsize=9)
    for axes, seed, image in zip(
        parts[0].subplots(rows, 1, squeeze=False)[:, 0], neighbors.seeds, neighbors.queries, strict=True
    ):
        show(axes, image, f"seed {seed}", COLOURS[3], 2)
    for part, (space, found) in zip(parts[1:], neighbors.spaces.items(), strict=True):
        part.suptitle(f"{space} space\n{found.label}", fontsize=9)
        panels = part.subplots(rows, k, squeeze=False)
        for q, n in np.ndindex(rows, k):
            flipped = " (flipped)" if found.mirrored[q, n] else ""
            show(panels[q, n], found.images[q, n], f"{found.distances[q, n]:.3g}{flipped}")
    return figure
