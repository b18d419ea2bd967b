"""One pass over real and over generated images, whose features all metrics share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dualgan.evaluation.chunks import ChunkFolder, own_chunks
from dualgan.evaluation.discriminating import discriminator_view, fddf_record
from dualgan.evaluation.features import (
    Progress,
    View,
    available,
    checked_num,
    feature_chunks,
    real_chunks,
    together,
    view_of,
)
from dualgan.evaluation.images import BATCH_SIZE, Images, ReferenceSet, SetImages, images_of
from dualgan.evaluation.paths import check_paths, path_provenance, score_paths
from dualgan.evaluation.result import Evaluation
from dualgan.evaluation.scoring import FEATURES, HIDDEN, Scores, check_counts, name_of, notes_on, recorded
from dualgan.metrics import FeatureExtractor
from dualgan.metrics.distances import PerceptualDistance
from dualgan.metrics.table import PUBLISHED_COUNT, check_least, kinds_of, protocol_of, spec_of, specs_of, usual_metrics
from dualgan.version import __version__


def evaluate(
    generator: nn.Module,
    reference: ReferenceSet,
    extractor: FeatureExtractor,
    *,
    num_fake: int,
    num_real: int | None = None,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
    truncation_psi: float = 1.0,
    noise_mode: str = "random",
    metrics: Sequence[str] | None = None,
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
    number of ranks. Classes, if any, are drawn from the seeds, as often as the real images have them.

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
        noise_mode: for the generator; published protocols draw it. "random" noise depends on `batch_size` too.
        metrics: names of METRICS or of their numbers, such as "pr" or "recall"; None takes the usual ones.
        ema: whether the generator holds averaged weights; only recorded.
        discriminator: for "fddf"; lives on `device`.
        distance: between images, for path lengths.
        device: where to run.
        cache_dir: root of the cache of real features, see `real_chunks`.
        work_dir: folder for features of generated images that a later call with the same arguments goes on from; None
            keeps none. The caller names it after all that the images depend on, and removes it.
        progress: told the number of images and their stage after each batch of this rank.

    Raises:
        ValueError: an unknown metric, numbers of images that do not fit, or features that are not finite.
    """
    kinds = kinds_of(usual_metrics() if metrics is None else metrics)
    paths = [kind for kind in kinds if spec_of(kind).source == "paths"]
    of_images = [kind for kind in kinds if kind not in paths]
    fakes = images_of(generator, reference, num_fake, seed, truncation_psi, noise_mode, device)
    compared = Comparison(reference, extractor, num_real, of_images, seed, batch_size, discriminator, device, cache_dir)
    work = None if work_dir is None else Path(work_dir)
    check_least({kind: kind for kind in paths}, num_fake, None)
    check_paths(kinds, generator, truncation_psi)
    values, notes = compared.scores(fakes, work, progress)
    made = {"ema": ema, **fakes.record}
    for kind in paths:
        assert distance is not None, "the caller has one for path lengths"
        settings: dict[str, Any] = {
            "label_counts": fakes.label_counts, "batch_size": batch_size, "device": device, "work_dir": work,
            "progress": progress,
        }  # fmt: skip
        name = distance.metric_name(kind)
        values[name] = score_paths(kind, generator, distance, fakes.seeds, **settings)
        notes |= notes_on({kind: name}, num_fake, compared.count, {})
        made |= path_provenance(distance)
    return Evaluation(values, {**compared.provenance(num_fake), **made, "seed": seed}, notes)


def images_to_see(kinds: Sequence[str], num_fake: int, num_real: int) -> int:
    """Number of images, and of paths, that this rank will tell an evaluation's progress of."""
    sources = [spec.source for spec in specs_of(kinds)]
    passes = [num_fake] * bool(set(sources) - {"paths"}) + [num_real] * len({FEATURES, HIDDEN} & set(sources))
    passes += [num_fake] * sources.count("paths")
    return sum(len(chunk) for count in passes for chunk in own_chunks(count))


def evaluate_images(
    fakes: ReferenceSet,
    reference: ReferenceSet,
    extractor: FeatureExtractor,
    *,
    num_fake: int | None = None,
    num_real: int | None = None,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
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
        metrics: any that `evaluate` knows, but those that need a checkpoint's networks.
        device: where to run.
        cache_dir: root of the cache of real features.
        work_dir: folder for features of the generated images.
        progress: told the number of images and their stage after each batch of this rank.
    """
    kinds = kinds_of(usual_metrics() if metrics is None else metrics, without="there are images only")
    images = SetImages(fakes, checked_num(num_fake, fakes.dataset_size, "num_fake"))
    compared = Comparison(reference, extractor, num_real, kinds, seed, batch_size, None, device, cache_dir)
    values, notes = compared.scores(images, None if work_dir is None else Path(work_dir), progress)
    made = {"fake_fingerprint": fakes.fingerprint, "fake_size": fakes.dataset_size}
    return Evaluation(values, {**compared.provenance(images.count), **made, "seed": seed}, notes)


@dataclass
class Comparison:
    """Real images, and all that is asked about generated ones; see `evaluate` for the fields."""

    reference: ReferenceSet
    extractor: FeatureExtractor
    num_real: int | None
    kinds: Sequence[str]
    seed: int
    batch_size: int
    discriminator: nn.Module | None
    device: torch.device | str
    cache_dir: str | Path | None

    def __post_init__(self) -> None:
        self.specs = specs_of(self.kinds)
        size = self.reference.dataset_size
        # the published number takes what there is of smaller sets
        choose = available if self.num_real == PUBLISHED_COUNT else checked_num
        self.count = choose(self.num_real, size)

    def scores(
        self, fakes: Images, work: Path | None, progress: Progress | None
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Score generated images: numbers by reported name, in the order that was asked for, and notes on them."""
        if not self.kinds:
            return {}, {}
        check_counts(self.kinds, self.extractor, self.count, fakes.count)
        views = together(self._views)
        scores = Scores(self.kinds, self.extractor, min(self.count, fakes.count), self.seed, self.device)
        together(lambda: self._pass(scores, fakes, views, "generated", work, progress))
        together(lambda: self._real(scores, views, work, progress))
        if progress is not None:
            progress(0, "scores")
        counts = protocol_of(fakes.count, self.num_real, self.reference.whole)
        names = {kind: name_of(kind, self.extractor, counts) for kind in self.kinds}
        values = {names[kind]: value for kind, value in scores.values().items()}
        widths = {source: view.width for source, view in views.items()}
        return values, notes_on(names, fakes.count, self.count, widths)

    def provenance(self, num_fake: int) -> dict[str, Any]:
        """Where the numbers come from, as far as the real images, the extractor and the formulas go."""
        hidden = HIDDEN in {spec.source for spec in self.specs}
        return {
            "real_fingerprint": self.reference.fingerprint,
            "real_size": self.reference.dataset_size,
            "num_real": self.count,
            "real_mirrored": self.reference.mirrored,
            "num_fake": num_fake,
            "resize_filter": getattr(self.reference, "resize_filter", None),
            "crop": getattr(self.reference, "crop", None),
            "extractor": self.extractor.name,
            "extractor_size": getattr(self.extractor, "size", None),
            "weight_hash": self.extractor.weight_hash,
            "extractor_identity": self.extractor.identity,
            **recorded(self.specs, min(self.count, num_fake)),
            **(fddf_record(self.discriminator, self.reference, self.batch_size) if hidden else {}),
            "dualgan_version": __version__,
            "torch_version": str(torch.__version__),
        }

    def _views(self) -> dict[str, View]:
        """The networks that see every image."""
        sources = {spec.source for spec in self.specs}
        views = {FEATURES: view_of(self.extractor, self.device)} if sources - {HIDDEN} else {}
        if HIDDEN in sources:
            assert self.discriminator is not None, "the caller has one for what it sees"
            views[HIDDEN] = discriminator_view(self.discriminator, self.reference, self.seed, self.device)
        return views

    def _real(self, scores: Scores, views: Mapping[str, View], work: Path | None, progress: Progress | None) -> None:
        """The real images' features are the extractor's, which come from the cache, and the discriminator's."""
        if FEATURES in {spec.source for spec in self.specs}:
            chunks = real_chunks(
                self.reference, self.extractor, self.count, self.cache_dir,
                device=self.device, batch_size=self.batch_size, progress=progress,
            )  # fmt: skip
            scores.feed(({FEATURES: rows} for rows in chunks), {FEATURES: views[FEATURES]}, real=True)
        if HIDDEN in views:
            images = SetImages(self.reference, self.count)
            self._pass(scores, images, {HIDDEN: views[HIDDEN]}, "real", work, progress)

    def _pass(
        self,
        scores: Scores,
        images: Images,
        views: Mapping[str, View],
        name: str,
        work: Path | None,
        progress: Progress | None,
    ) -> None:
        folder = ChunkFolder(work and work / name, f"Features of {name} images")
        chunks = feature_chunks(images, views, name, folder, self.batch_size, progress)
        scores.feed(chunks, views, real=name == "real")
