"""One pass over real and over generated images, whose features all metrics share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dualgan.evaluation.chunks import ChunkFolder
from dualgan.evaluation.discriminating import discriminator_view
from dualgan.evaluation.features import Progress, View, checked_num, feature_chunks, real_chunks, together, view_of
from dualgan.evaluation.images import GeneratedImages, Images, ReferenceSet, SetImages
from dualgan.evaluation.paths import PATHS, path_provenance, score_paths
from dualgan.evaluation.scoring import (
    FEATURES,
    HIDDEN,
    KERNEL_SUBSET_SIZE,
    Side,
    check_counts,
    collect,
    inception_score,
    needs_rows,
    parameters,
    reported_name,
    score,
)
from dualgan.metrics import FeatureExtractor
from dualgan.metrics.distances import PerceptualDistance
from dualgan.version import __version__


@dataclass(frozen=True)
class Evaluation:
    """Scores and where they come from.

    Attributes:
        values: by the metric's reported name, for instance "fid" or "fd_efficientnet_lite0".
        provenance: what a reader needs to repeat or to distrust the numbers; plain JSON types.
    """

    values: dict[str, float]
    provenance: dict[str, Any]


def evaluate(
    generator: nn.Module,
    reference: ReferenceSet,
    extractor: FeatureExtractor,
    *,
    num_fake: int,
    num_real: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    truncation_psi: float = 1.0,
    noise_mode: str = "const",
    metrics: Sequence[str] = ("frechet", "kernel"),
    ema: bool | None = None,
    discriminator: nn.Module | None = None,
    distance: PerceptualDistance | None = None,
    device: torch.device | str = "cpu",
    cache_dir: str | Path | None = None,
    work_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a generator against real images; all ranks must call it and all get the same result.

    Ranks share the images out in chunks, so the batches, their order and with them the result do not depend on the
    number of ranks. Classes, if any, are drawn uniformly from the seeds.

    Args:
        generator: as `dualgan.networks.sampling.generate` wants it; lives on `device`.
        reference: the real images.
        extractor: makes the features and names the metrics.
        num_fake: images to generate, 2 to 2**20, from the seeds seed * 2**20, seed * 2**20 + 1, ...
        num_real: real images to compare with; None takes all.
        batch_size: images per batch and rank, at most: batches end with the chunks of 64 to 512 images.
        seed: of the evaluation, for the images as well as for KID's subsets, 0 to 4095: torch's CPU generator knows
            2**32 image seeds.
        truncation_psi: for the generator.
        noise_mode: for the generator; with "random" the result depends on torch's generator and the number of ranks.
        metrics: any of "frechet", "kernel", "precision", "recall", "density", "coverage", "inception_score", "fddf",
            "ppl_wend", "ppl_wfull", "ppl_zend" and "ppl_zfull".
        ema: whether the generator holds averaged weights; only recorded.
        discriminator: for "fddf"; lives on `device`.
        distance: between images, for path lengths.
        device: where to run.
        cache_dir: root of the cache of real features, see `real_features`.
        work_dir: folder for features of generated images that a later call with the same arguments goes on from; None
            keeps none. The caller names it after all that the images depend on, and removes it.
        progress: told the number of images after each batch of this rank.

    Raises:
        ValueError: an unknown metric, numbers of images that do not fit, or features that are not finite.
    """
    fakes = GeneratedImages(generator, num_fake, seed, truncation_psi, noise_mode, device)
    of_images = [kind for kind in metrics if kind not in PATHS]
    compared = Comparison(reference, extractor, num_real, of_images, seed, batch_size, discriminator, device, cache_dir)
    work = None if work_dir is None else Path(work_dir)
    values = compared.values(fakes, work, progress)
    made: dict[str, Any] = {"ema": ema, "truncation_psi": truncation_psi, "noise_mode": noise_mode}
    for kind in [kind for kind in metrics if kind in PATHS]:
        assert distance is not None, "the caller has one for path lengths"
        if truncation_psi != 1:
            raise ValueError(f"{kind} is measured without truncation: leave it out, or truncation_psi {truncation_psi}")
        settings: dict[str, Any] = {"batch_size": batch_size, "device": device, "work_dir": work, "progress": progress}
        values[distance.metric_name(*PATHS[kind])] = score_paths(kind, generator, distance, fakes.seeds, **settings)
        made |= path_provenance(distance)
    return Evaluation(values, {**compared.provenance(num_fake), **made, "seed": seed})


def evaluate_images(
    fakes: ReferenceSet,
    reference: ReferenceSet,
    extractor: FeatureExtractor,
    *,
    num_fake: int | None = None,
    num_real: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    metrics: Sequence[str] = ("frechet", "kernel"),
    device: torch.device | str = "cpu",
    cache_dir: str | Path | None = None,
    work_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score images that somebody has generated against real images; arguments and errors are those of `evaluate`.

    Args:
        fakes: the generated images.
        reference: the real images.
        extractor: makes the features and names the metrics.
        num_fake: generated images to take; None takes all.
        num_real: real images to compare with; None takes all.
        batch_size: images per batch and rank, at most.
        seed: of KID's subsets.
        metrics: any that `evaluate` knows, but "fddf" and path lengths.
        device: where to run.
        cache_dir: root of the cache of real features.
        work_dir: folder for features of the generated images.
        progress: told the number of images after each batch of this rank.
    """
    images = SetImages(fakes, checked_num(num_fake, fakes.dataset_size, "num_fake"))
    compared = Comparison(reference, extractor, num_real, metrics, seed, batch_size, None, device, cache_dir)
    values = compared.values(images, None if work_dir is None else Path(work_dir), progress)
    made = {"fake_fingerprint": fakes.fingerprint, "fake_size": fakes.dataset_size}
    return Evaluation(values, {**compared.provenance(images.count), **made, "seed": seed})


@dataclass
class Comparison:
    """Real images, and all that is asked about generated ones; see `evaluate` for the fields."""

    reference: ReferenceSet
    extractor: FeatureExtractor
    num_real: int | None
    metrics: Sequence[str]
    seed: int
    batch_size: int
    discriminator: nn.Module | None
    device: torch.device | str
    cache_dir: str | Path | None

    def __post_init__(self) -> None:
        self.names = {kind: reported_name(kind, self.extractor) for kind in self.metrics}
        self.count = checked_num(self.num_real, self.reference.dataset_size)
        if "inception_score" in self.metrics:
            self.extractor.check_classes()

    def values(self, fakes: Images, work: Path | None, progress: Progress | None) -> dict[str, float]:
        """Score generated images; by reported name, in the order that was asked for."""
        if not self.metrics:
            return {}
        check_counts(self.metrics, self.extractor, self.count, fakes.count)
        views = together(self._views)
        fake = together(lambda: self._passed(fakes, views, "generated", work, progress))
        real = together(lambda: self._real(views, work, progress))
        scores = score(self.metrics, real, fake, self._subset_size(fakes.count), self.seed, self.device)
        if "inception_score" in self.metrics:
            scores["inception_score"] = inception_score(fake[FEATURES], self.extractor, self.device)
        return {self.names[kind]: scores[kind] for kind in self.metrics}

    def provenance(self, num_fake: int) -> dict[str, Any]:
        """Where the numbers come from, as far as the real images, the extractor and the formulas go."""
        return {
            "real_fingerprint": self.reference.fingerprint,
            "real_size": self.reference.dataset_size,
            "num_real": self.count,
            "num_fake": num_fake,
            "resize_filter": getattr(self.reference, "resize_filter", None),
            "crop": getattr(self.reference, "crop", None),
            "extractor": self.extractor.name,
            "extractor_size": getattr(self.extractor, "size", None),
            "weight_hash": self.extractor.weight_hash,
            "extractor_identity": self.extractor.identity,
            **parameters(self.metrics, self._subset_size(num_fake)),
            "dualgan_version": __version__,
            "torch_version": str(torch.__version__),
        }

    def _views(self) -> dict[str, View]:
        """The networks that see every image."""
        views = {FEATURES: view_of(self.extractor, self.device)} if set(self.metrics) - {"fddf"} else {}
        if "fddf" in self.metrics:
            assert self.discriminator is not None, "the caller has one for fddf"
            views[HIDDEN] = discriminator_view(self.discriminator, self.reference, self.seed, self.device)
        return views

    def _real(self, views: Mapping[str, View], work: Path | None, progress: Progress | None) -> dict[str, Side]:
        """The real images' features are the extractor's, which come from the cache, and the discriminator's."""
        sides = {}
        if FEATURES in views:
            chunks = real_chunks(
                self.reference, self.extractor, self.count, self.cache_dir,
                device=self.device, batch_size=self.batch_size, progress=progress,
            )  # fmt: skip
            sides[FEATURES] = collect(({FEATURES: rows} for rows in chunks), views, needs_rows(self.metrics))[FEATURES]
        if HIDDEN in views:
            images = SetImages(self.reference, self.count)
            sides |= self._passed(images, {HIDDEN: views[HIDDEN]}, "real", work, progress)
        return sides

    def _passed(
        self, images: Images, views: Mapping[str, View], name: str, work: Path | None, progress: Progress | None
    ) -> dict[str, Side]:
        folder = ChunkFolder(work and work / name, f"Features of {name} images")
        chunks = feature_chunks(images, views, name, folder, self.batch_size, progress)
        return collect(chunks, views, needs_rows(self.metrics))

    def _subset_size(self, num_fake: int) -> int:
        return min(KERNEL_SUBSET_SIZE, self.count, num_fake)
