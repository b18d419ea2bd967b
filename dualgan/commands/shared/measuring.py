"""What every process of `dualgan evaluate` does: open images and networks, and score."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dualgan.commands.shared.real_images import DataSection, open_section
from dualgan.data.batches import ReferenceImages
from dualgan.evaluation import Evaluation, evaluate, evaluate_images, images_to_see
from dualgan.evaluation.chunks import rows_in
from dualgan.files.atomic import digest, file_sha256
from dualgan.metrics.distances import PerceptualDistance, find_distance
from dualgan.metrics.extractors import FeatureExtractor, find_extractor
from dualgan.metrics.extractors.finding import ExtractorName
from dualgan.metrics.table import specs_of
from dualgan.runtime.distributed import rank
from dualgan.version import __version__
from dualgan.weights.checkpoints import discriminator_of, generator_of, read_networks


@dataclass(frozen=True)
class Job:
    """What to measure; plain data that can be sent to other processes.

    Attributes:
        ckpt: checkpoint, or None to score `fake`.
        fake: generated images.
        data: real images.
        kinds: of the numbers that are wanted.
        num_fake: generated images.
        num_real: real images; None takes all.
        ema: whether to take the averaged weights.
        truncation_psi: for the generator.
        noise_mode: for the generator.
        seed: of the evaluation.
        extractor: its name.
        extractor_weights: its file.
        batch_size: images per batch.
        work_dir: where features of generated images wait for a rerun, in a folder of their own for every job.
        identity: what tells the checkpoint or the images from others.
    """

    ckpt: str | None
    fake: DataSection | None
    data: DataSection
    kinds: tuple[str, ...]
    num_fake: int
    num_real: int | None
    ema: bool
    truncation_psi: float
    noise_mode: str
    seed: int
    extractor: ExtractorName
    extractor_weights: str | None
    batch_size: int
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
    extractor = find_extractor(job.extractor, job.extractor_weights)
    reference = open_images(job.data, job.num_real)
    fakes = open_images(job.fake) if job.fake else None
    total = images_to_see(job.kinds, job.num_fake, job.num_real or reference.dataset_size)
    distance = find_distance() if any(spec.source == "paths" for spec in specs_of(job.kinds)) else None
    work = job.work_dir / _key(job, extractor, distance, reference)
    if rank() == 0 and (done := rows_in(work / "generated")):
        print(f"Going on: {done} of {job.num_fake} generated images have been measured already.")
    hidden = rank() != 0 or not sys.stderr.isatty()
    with tqdm(total=total, desc="Evaluating", unit="img", leave=False, disable=hidden) as bar:
        settings: dict[str, Any] = {
            "num_fake": job.num_fake, "num_real": job.num_real, "batch_size": job.batch_size, "seed": job.seed,
            "metrics": job.kinds, "device": device, "work_dir": work, "progress": bar.update,
        }  # fmt: skip
        if fakes is not None:
            return evaluate_images(fakes, reference, extractor, **settings), work
        return _score_checkpoint(job, reference, extractor, distance, device)(**settings), work


def _key(job: Job, extractor: FeatureExtractor, distance: PerceptualDistance | None, reference: ReferenceImages) -> str:
    """Name for all that the features in the work folder depend on."""
    images = [job.identity, job.num_fake, job.ema, job.truncation_psi, job.noise_mode, job.seed, job.batch_size]
    seen_by = [extractor.identity, distance and [distance.name, distance.weight_hash], sorted(job.kinds)]
    return digest([__version__, images, seen_by, reference.fingerprint, job.num_real])


def _score_checkpoint(
    job: Job,
    reference: ReferenceImages,
    extractor: FeatureExtractor,
    distance: PerceptualDistance | None,
    device: torch.device,
) -> Callable[..., Evaluation]:
    assert job.ckpt is not None, "the command asks for one of both"
    checkpoint = read_networks(job.ckpt)
    if file_sha256(Path(job.ckpt)) != job.identity["checkpoint_sha256"]:  # a training has saved another last.ckpt
        raise ValueError(
            f"{job.ckpt} was replaced while its evaluation was being prepared: evaluate a copy of it, or one of the "
            f"checkpoints that are named by their time"
        )
    generator = generator_of(checkpoint, job.ema).to(device)
    sees = any(spec.source == "hidden" for spec in specs_of(job.kinds))
    return partial(
        evaluate,
        generator,
        reference,
        extractor,
        truncation_psi=job.truncation_psi,
        noise_mode=job.noise_mode,
        ema=job.ema,
        discriminator=discriminator_of(checkpoint).to(device) if sees else None,
        distance=distance,
    )
