"""What every process of `dualgan evaluate` does: open images and networks, and score."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dualgan.commands.shared.real_images import DataSection, open_section
from dualgan.commands.shared.work_folders import claimed
from dualgan.data.batches import ReferenceImages
from dualgan.evaluation import Evaluation, evaluate, evaluate_images, images_to_see
from dualgan.evaluation.chunks import rows_in
from dualgan.files.atomic import digest, file_sha256
from dualgan.metrics.distances import PerceptualDistance, find_distance
from dualgan.metrics.extractors import FeatureExtractor, find_extractor
from dualgan.metrics.extractors.finding import ExtractorName
from dualgan.metrics.table import specs_of
from dualgan.metrics.weights import named_by
from dualgan.runtime.distributed import rank
from dualgan.runtime.progress import Progress
from dualgan.version import __version__
from dualgan.weights.checkpoints import discriminator_of, generator_of, read_networks


@dataclass(frozen=True)
class Job:
    """What to measure; plain data that can be sent to other processes.

    Attributes:
        ckpt: checkpoint, or None to score `fake`.
        fake: generated images.
        data: real images.
        extractor: its name and its weight file.
        settings: of the evaluation: num_fake, num_real, batch_size, seed and metrics.
        drawing: how a checkpoint draws: ema, truncation_psi and noise_mode.
        work_dir: where features of generated images wait for a rerun, in a folder of their own for every job.
        identity: what tells the checkpoint or the images from others.
    """

    ckpt: str | None
    fake: DataSection | None
    data: DataSection
    extractor: tuple[ExtractorName, str | None]
    settings: dict[str, Any]
    drawing: dict[str, Any]
    work_dir: Path
    identity: dict[str, Any]


def open_images(section: DataSection, num: int | None = None) -> ReferenceImages:
    """Open the images of a data section, which another process has rendered or checked, and given its warnings.

    `num` of them are compared with; None is all.

    Raises:
        ValueError: They cannot be opened.
    """
    module = open_section(section)
    module.setup()
    return module.reference_set(num)


def measure(device: torch.device, job: Job) -> tuple[Evaluation, Path]:
    """Do this process's part: scores, which are the same in all, and the folder that is of no more use then."""
    with ExitStack() as held:
        return _measure(device, job, held)


def _measure(device: torch.device, job: Job, held: ExitStack) -> tuple[Evaluation, Path]:
    with named_by("--extractor_weights"):
        extractor = find_extractor(*job.extractor)
    kinds, num_fake, num_real = (job.settings[name] for name in ("metrics", "num_fake", "num_real"))
    reference = open_images(job.data, num_real)
    fakes = open_images(job.fake) if job.fake else None
    sources = {spec.source for spec in specs_of(kinds)}
    with named_by(None):
        distance = find_distance() if "paths" in sources else None
    work = job.work_dir / _key(job, extractor, distance, reference)
    if rank() == 0:
        held.enter_context(claimed(work))
        if done := rows_in(work / "generated"):
            print(f"Going on: {done} of {num_fake} generated images have been measured already, in {job.work_dir}.")
    total = images_to_see(kinds, num_fake, num_real or reference.dataset_size)
    with Progress("Evaluating", total, shown=rank() == 0) as shown:
        settings = job.settings | {"device": device, "work_dir": work, "progress": shown.update}
        if fakes is not None:
            return evaluate_images(fakes, reference, extractor, **settings), work
        checkpoint = _unchanged(job)
        generator = generator_of(checkpoint, job.drawing["ema"]).to(device)
        discriminator = discriminator_of(checkpoint).to(device) if "hidden" in sources else None
        settings |= job.drawing | {"discriminator": discriminator, "distance": distance}
        return evaluate(generator, reference, extractor, **settings), work


def _key(job: Job, extractor: FeatureExtractor, distance: PerceptualDistance | None, reference: ReferenceImages) -> str:
    """Name for all that the features in the work folder depend on."""
    images = [job.identity, job.drawing, job.settings | {"metrics": sorted(job.settings["metrics"])}]
    seen_by = [extractor.identity, distance and [distance.name, distance.weight_hash]]
    labels = reference.label_counts  # fingerprints leave them out, and classes are drawn by them
    return digest([__version__, images, seen_by, reference.fingerprint, None if labels is None else labels.tolist()])


def _unchanged(job: Job) -> dict[str, Any]:
    """The checkpoint's content.

    Raises:
        ValueError: A training has saved another last.ckpt.
    """
    assert job.ckpt is not None, "the command asks for one of both"
    checkpoint = read_networks(job.ckpt)
    if file_sha256(Path(job.ckpt)) != job.identity["checkpoint_sha256"]:
        raise ValueError(
            f"{job.ckpt} was replaced while its evaluation was being prepared: evaluate a copy of it, or one of the "
            f"checkpoints that are named by their time"
        )
    return checkpoint
