"""`dualgan evaluate`: score a checkpoint, or images of any model, against real images."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dualgan.commands.shared.measuring import Job, measure
from dualgan.commands.shared.processes import check_devices, on_devices
from dualgan.commands.shared.real_images import DataSection, open_section, packed_as, real_section
from dualgan.commands.shared.verbs import arguments
from dualgan.commands.shared.work_folders import kept_in, remove
from dualgan.data import ImageDataModule
from dualgan.data.files.checking import check_files
from dualgan.data.files.decoding import Crop, ResizeFilter
from dualgan.data.files.opening import open_files
from dualgan.evaluation import BATCH_SIZE, NUM_FAKE, Evaluation
from dualgan.evaluation.images import check_evaluation
from dualgan.evaluation.paths import check_paths
from dualgan.files.atomic import cache_root, file_sha256
from dualgan.files.targets import file_to_write
from dualgan.metrics.extractors.finding import ExtractorName
from dualgan.metrics.table import all_metrics, check_least, kinds_of, spec_of, specs_of, usual_metrics
from dualgan.runs.metrics_jsonl import append_to_history, write_scores
from dualgan.weights.checkpoints import generator_of, read_networks
from dualgan.weights.pretrained import shown_name

_OF_GENERATORS = ("--weights", "--truncation_psi", "--noise_mode")  # options that images alone do not have


def _metrics_help() -> str:
    names = ", ".join(f"{spec.name} ({spec.about})" for spec in all_metrics())
    return (
        f"What to measure in one pass over the images: {names}. Numbers carry their extractor's name: fid and kid only "
        f"if Inception-v3 with the published weights made them, and for instance fd_efficientnet_lite0 otherwise."
    )


@dataclass(frozen=True)
class Subject:
    """What is scored: a generator, or images that are there, with their number and their data section.

    Attributes:
        run_dir: folder of the run that it belongs to, if any.
        identity: what tells it from others, for the record; of a checkpoint with its kimg, where they are known.
    """

    resolution: int
    num_channels: int
    count: int | None
    section: DataSection | None
    run_dir: Path | None
    identity: dict[str, Any]


def run(
    metrics: Sequence[str] | None = None,
    data_options: Sequence[str] = (),
    ckpt: str | None = None,
    fake: str | None = None,
    data: str | None = None,
    config: str | None = None,
    resolution: int | None = None,
    resize_filter: ResizeFilter | None = None,
    crop: Crop | None = None,
    num_fake: int | None = None,
    num_real: int | None = None,
    weights: Literal["ema", "raw"] = "ema",
    truncation_psi: float = 1.0,
    noise_mode: Literal["random", "const", "none"] = "random",
    seed: int = 0,
    extractor: ExtractorName = "auto",
    extractor_weights: str | None = None,
    batch_size: int = BATCH_SIZE,
    device: str = "auto",
    devices: int = 1,
    out: str | None = None,
) -> None:
    """Score a checkpoint, or images that any model has made, against real images.

    Args:
        metrics: Names of METRICS or of their numbers; the usual ones by default.
        fake: Score the images of this folder, zip or packed set instead; they must be of one size.
        config: The same as --data CONFIG, for a run's config.yaml or a shipped configuration.
        resolution: Height and width of the real images; for files by default that of the generated ones.
        resize_filter: Pillow's filter for resizing real images. It changes metrics: compare numbers of one filter
            only. By default that of the checkpoint's run for files, and else the packed set's or the data set's own.
        crop: Square of the real images that is kept; by default as for the filter.
        num_fake: Images to generate, 50000 by default, or to take from --fake, all by default.
        num_real: Real images to compare with, mirrored ones among them where the data set has `mirror`; all, once
            each, by default. With 50000 generated images these are fid50k (50000) and fid50k_full (all).
        weights: The generator's averaged weights, or "raw", those that were trained.
        noise_mode: "random" draws it, as published protocols do; "const" repeats the same noise, "none" leaves it out.
        seed: Of the images and of what metrics draw, 0 to 4095.
        extractor: Feature extractor; "auto" is Inception-v3 where its weights are found, and else EfficientNet-Lite0.
        extractor_weights: File with the extractor's weights; by default the usual places are looked at.
        batch_size: Images per batch and process.
        devices: Processes that share the work: one per GPU, or any number on the CPU.
        out: File to write; by default metrics.json in the run's folder, or in the current one.
    """
    if data is not None and config is not None:
        raise ValueError("--data and --config both say which real images to take: give one of them")
    kinds = kinds_of(metrics or usual_metrics(), "" if fake is None else "give --ckpt instead of --fake")
    check_evaluation(seed, batch_size)
    check_least({kind: spec_of(kind).name for kind in kinds}, num_fake, num_real)
    check_devices(device, devices)
    if out is not None:
        file_to_write(out, [".json"])
    reading = {"resolution": resolution, "resize_filter": resize_filter, "crop": crop}
    given = [f"--data.{name}={value}" for name, value in reading.items() if value is not None]
    subject = _subject(ckpt, fake, weights == "ema", resolution, truncation_psi, kinds)
    path = file_to_write(out or (subject.run_dir or Path()) / "metrics.json", [".json"])
    section = real_section(data or config, ckpt, subject.resolution, [*given, *data_options])
    _check_real(open_section(section), subject)
    count = (subject.count or NUM_FAKE) if num_fake is None else num_fake
    job = Job(
        ckpt=ckpt,
        fake=subject.section,
        data=section,
        extractor=(extractor, extractor_weights),
        settings={"metrics": kinds, "num_fake": count, "num_real": num_real, "batch_size": batch_size, "seed": seed},
        drawing={"ema": weights == "ema", "truncation_psi": truncation_psi, "noise_mode": noise_mode},
        work_dir=path.with_name(f"{path.name}.work"),
        identity=subject.identity,
    )
    scores, work = _measured(job, device, devices)
    _report(scores, subject, path, kinds)
    remove(work)


def _subject(
    ckpt: str | None, fake: str | None, ema: bool, resolution: int | None, truncation_psi: float, kinds: Sequence[str]
) -> Subject:
    if ckpt is not None and fake is None:
        return _checkpoint(Path(ckpt), ema, truncation_psi, kinds)
    if fake is not None and ckpt is None:
        section = _section_of_fakes(fake, resolution)
        images = open_section(section).reference_set()
        identity = {"fakes": fake, "fake_fingerprint": images.fingerprint}
        size = section["init_args"]["resolution"]
        return Subject(size, images.num_channels, images.dataset_size, section, None, identity)
    raise ValueError("evaluate needs --ckpt CHECKPOINT, or --fake FOLDER_OR_ZIP, and not both")


def _section_of_fakes(place: str, resolution: int | None) -> DataSection:
    """The data section of images that somebody has generated: as they are, neither cropped nor resized."""
    reading = packed_as(place) or {"resolution": _only_size(place), "crop": "none"}
    size = reading["resolution"]
    if resolution not in (None, size):
        raise ValueError(
            f"'{place}' holds images of {size}x{size}, and resolution {resolution} is asked for: generated images are "
            f"scored as they are. Leave the resolution out"
        )
    return {"class_path": "dualgan.data.ImageFolder", "init_args": {"root": place, **reading}}


def _only_size(place: str) -> int:
    files = open_files(Path(place).expanduser(), "Pass a folder, a zip or a packed set of generated images.")
    if not files.decoded_first:
        raise ValueError(f"'{place}' is an LMDB: pack its images with 'dualgan prepare' and pass the packed set")
    report = check_files(files, files.entries(), cache_root(None))
    sizes = Counter((checked.width, checked.height) for checked in report if not checked.error)
    (width, height), _ = sizes.most_common(1)[0] if sizes else ((256, 256), 0)
    if len(sizes) > 1 or width != height:
        found = ", ".join(f"{count} of {w}x{h}" for (w, h), count in sizes.most_common(3))
        raise ValueError(
            f"'{place}' holds images of {len(sizes)} sizes ({found}{', ...' if len(sizes) > 3 else ''}): generated "
            f"images are scored as they are, and must be square and of one size. 'dualgan prepare' makes them so"
        )
    return width


def _checkpoint(path: Path, ema: bool, truncation_psi: float, kinds: Sequence[str]) -> Subject:
    checkpoint = read_networks(path)
    generator = generator_of(checkpoint, ema)
    check_paths(kinds, generator, truncation_psi)
    seen = checkpoint["state_dict"].get("images_seen")
    kimg = None if seen is None else int(seen) / 1000
    run_dir = path.parent.parent if path.parent.name == "checkpoints" else None
    identity = {"checkpoint": shown_name(path), "checkpoint_sha256": file_sha256(path), "kimg": kimg}
    return Subject(generator.resolution, generator.num_channels, None, None, run_dir, identity)


def _check_real(module: ImageDataModule, subject: Subject) -> None:
    size, real = module.resolution, module.reference_set()
    if size != subject.resolution:
        raise ValueError(
            f"the real images are {size}x{size} and the generated ones {subject.resolution}x"
            f"{subject.resolution}: they must be of one size. Pass --resolution {subject.resolution}, or other images"
        )
    if real.num_channels != subject.num_channels:
        names = {1: "gray", 3: "colour"}
        raise ValueError(
            f"the real images are {names[real.num_channels]} and the generated ones {names[subject.num_channels]}: "
            f"pass --data.num_channels {subject.num_channels} to read the real ones so, or other images"
        )


def _measured(job: Job, device: str, devices: int) -> tuple[Evaluation, Path]:
    try:
        return on_devices(measure, job, device, devices)
    except (KeyboardInterrupt, RuntimeError, OSError):
        if kept_in(job.work_dir):
            print(
                f"\nWhat was done is kept in {job.work_dir}: the same command goes on from there, and an evaluation of "
                f"another checkpoint or with other settings removes it.",
                file=sys.stderr,
            )
        raise


def _report(scores: Evaluation, subject: Subject, path: Path, kinds: Sequence[str]) -> None:
    """Print and keep the numbers."""
    scores = replace(scores, provenance={**scores.provenance, **subject.identity})
    for name in scores.values:
        print(f"{name:<32} {scores.shown(name):<10} {scores.notes.get(name, '')}".rstrip())
    names = [spec.name for spec in specs_of(kinds) if spec.name in ("fid", "kid")]
    wrong = [name.upper() for name in names if not any(found.startswith(name) for found in scores.values)]
    if wrong:
        print(
            f"warning: this is NOT {' or '.join(wrong)}: {scores.provenance['extractor']} has measured, and "
            f"its numbers compare only with each other.",
            file=sys.stderr,
        )
    kimg = subject.identity.get("kimg")
    write_scores(path, scores, kimg=kimg)
    print(f"Wrote {path}")
    if subject.run_dir is not None and subject.run_dir.is_dir():
        append_to_history(subject.run_dir, "evaluate", kimg, scores)


def options(words: list[str]) -> dict[str, Any]:
    """Arguments for `run` from words of the command line.

    Raises:
        ValueError: The words do not fit.
    """
    metrics = {"nargs": "+", "default": usual_metrics(), "metavar": "NAME", "help": _metrics_help()}
    goes_on = "A stopped evaluation goes on where it was when the same command is given again."
    found = arguments("evaluate", run, words, goes_on, metrics=metrics)
    kinds_of(found["metrics"])
    if found["fake"] is not None:
        given = {word.partition("=")[0] for word in words}
        if without_effect := [name for name in _OF_GENERATORS if name in given]:
            raise ValueError(
                f"{', '.join(without_effect)} has no effect on images that are there: leave it out with --fake"
            )
    return found


def main(words: list[str]) -> None:
    """Run the command with the words of the command line."""
    run(**options(words))
