"""`dualgan evaluate`: score a checkpoint, or images of any model, against real images."""

import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dualgan.commands.shared.evaluated_images import Parse, RealImagesOptions, fake_section
from dualgan.commands.shared.measuring import DataSection, Job, measure, open_images
from dualgan.commands.shared.processes import on_devices
from dualgan.data.batches import ReferenceImages
from dualgan.data.files.decoding import Crop, ResizeFilter
from dualgan.evaluation import Evaluation
from dualgan.evaluation.paths import PATHS
from dualgan.files.atomic import file_sha256
from dualgan.metrics.extractors.finding import ExtractorName
from dualgan.runs.metrics_jsonl import append_to_history, write_scores
from dualgan.terminal.options import command_parser
from dualgan.weights.checkpoints import generator_of, read_networks

METRICS: dict[str, tuple[str, ...]] = {
    "fid": ("frechet",),
    "kid": ("kernel",),
    "pr": ("precision", "recall"),
    "dc": ("density", "coverage"),
    "is": ("inception_score",),
    "fddf": ("fddf",),
    "ppl": ("ppl_wend",),
    **{kind: (kind,) for kind in PATHS},
}
"""What can be asked for, and the metrics that each stands for."""

_OF_NETWORKS = ("fddf", "ppl", *PATHS)  # those that images alone do not have
_OF_GENERATORS = ("weights", "truncation_psi", "noise_mode")  # options that images alone do not have

_METRICS_HELP = """What to measure in one pass over the images: fid (Frechet distance), kid (kernel distance), pr \
(precision and recall), dc (density and coverage), is (inception score), fddf (Frechet distance of features of the \
checkpoint's discriminator), ppl_wend, ppl_wfull, ppl_zend, ppl_zfull (path length in W or Z, at the ends of paths or \
anywhere on them; ppl is ppl_wend, StyleGAN2's). Numbers carry their extractor's name: fid and kid only if \
Inception-v3 with the published weights made them, and for instance fd_efficientnet_lite0 otherwise. (default: fid \
kid)"""

_EPILOG = """The real images: --data takes a folder, a zip, an LMDB or a packed set, or the name of a data set as in \
'dualgan fit' (--data SyntheticCLEVR); --config takes the data section of a configuration. Without both it is the \
config.yaml of the run that holds the checkpoint. --data.KEY VALUE sets any option of the data set over all that, such \
as --data.root PATH, --data.num_channels 1 or --data.reference train ('dualgan fit --data.help NAME' lists them). A \
stopped evaluation goes on where it was when the same command is given again."""


@dataclass(frozen=True)
class Subject:
    """What is scored.

    Attributes:
        resolution: of its images.
        num_channels: of its images.
        count: images that are there; None for a generator.
        section: data section of its images; None for a generator.
        run_dir: folder of the run that it belongs to, if any.
        kimg: thousands of images that it was trained on, if known.
        identity: what tells it from others, for the record.
    """

    resolution: int
    num_channels: int
    count: int | None
    section: DataSection | None
    run_dir: Path | None
    kimg: float | None
    identity: dict[str, Any]


def run(
    parse: Parse,
    metrics: Sequence[str],
    data_words: list[str],
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
    noise_mode: Literal["const", "random", "none"] = "const",
    seed: int = 0,
    extractor: ExtractorName = "auto",
    extractor_weights: str | None = None,
    batch_size: int = 64,
    device: str = "auto",
    devices: int = 1,
    out: str | None = None,
) -> None:
    """Score a checkpoint, or images that any model has made, against real images.

    Args:
        parse: Makes a configuration of the words of `dualgan fit`.
        metrics: Names from METRICS.
        data_words: The --data.KEY VALUE options.
        ckpt: Checkpoint of a run, for instance runs/clevr_demo/checkpoints/last.ckpt.
        fake: Score the images of this folder, zip or packed set instead; they must be of one size.
        data: The real images: folder, zip, LMDB or packed set, or the name of a data set (see below).
        config: The real images are those of this configuration's data section: a run's config.yaml, or a shipped one.
        resolution: Height and width of the real images; for files by default that of the generated ones.
        resize_filter: Pillow's filter for resizing real images. It changes metrics: compare numbers of one filter
            only. By default the packed set's or the data set's own.
        crop: Square of the real images that is kept; by default the packed set's or the data set's own.
        num_fake: Images to generate, 50000 by default, or to take from --fake, all by default.
        num_real: Real images to compare with; all by default.
        weights: The generator's averaged weights, or "raw", those that were trained.
        truncation_psi: 1 for none; smaller values trade variety for quality.
        noise_mode: "const" repeats the same noise, "random" draws it, "none" leaves it out.
        seed: Of the images and of what metrics draw, 0 to 4095.
        extractor: Feature extractor; "auto" is Inception-v3 where its weights are found, and else EfficientNet-Lite0.
        extractor_weights: File with the extractor's weights; by default the usual places are looked at.
        batch_size: Images per batch and process.
        device: "auto", "cpu", "cuda", ...
        devices: Processes that share the work: one per GPU, or any number on the CPU.
        out: File to write; by default metrics.json in the run's folder, or in the current one.
    """
    kinds = _kinds(metrics, fake)
    _check_numbers(batch_size, num_fake=num_fake, num_real=num_real)
    reading = {"resolution": resolution, "resize_filter": resize_filter, "crop": crop}
    given = {name: value for name, value in reading.items() if value is not None}
    options = RealImagesOptions(parse, data, config, data_words, given)
    subject = _subject(ckpt, fake, weights == "ema", resolution)
    path = _file_to_write(out, subject)
    section = options.section(subject.resolution, _config_of(subject.run_dir))
    _check_real(open_images(section), section["init_args"]["resolution"], subject)
    count = (subject.count or 50_000) if num_fake is None else num_fake
    job = Job(
        ckpt, subject.section, section, kinds, count, num_real, weights == "ema",
        truncation_psi, noise_mode, seed, extractor, extractor_weights, batch_size,
        path.with_name(f"{path.name}.work"), subject.identity,
    )  # fmt: skip
    scores, work = _measured(job, device, devices)
    _report(scores, subject, path, metrics)
    shutil.rmtree(work, ignore_errors=True)
    with suppress(OSError):  # another evaluation's features lie there too
        job.work_dir.rmdir()


def _file_to_write(out: str | None, subject: Subject) -> Path:
    path = Path(out) if out else (subject.run_dir or Path()) / "metrics.json"
    if path.is_dir():
        raise ValueError(f"--out {path} is a folder: name the file to write, for instance {path / 'metrics.json'}")
    return path


def _check_numbers(batch_size: int, **counts: int | None) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is too small: give 1 or more")
    for name, number in counts.items():
        if number is not None and number < 2:
            raise ValueError(f"{name} {number} is out of range: metrics need 2 images or more")


def _kinds(metrics: Sequence[str], fake: str | None) -> tuple[str, ...]:
    for name in metrics:
        if name not in METRICS:
            raise ValueError(f"metric {name!r} is unknown: expected some of {', '.join(METRICS)}")
        if fake is not None and name in _OF_NETWORKS:
            raise ValueError(f"metric {name!r} needs the networks of a checkpoint: give --ckpt instead of --fake")
    return tuple(dict.fromkeys(kind for name in metrics for kind in METRICS[name]))


def _subject(ckpt: str | None, fake: str | None, ema: bool, resolution: int | None) -> Subject:
    if ckpt is not None and fake is None:
        return _checkpoint(Path(ckpt), ema)
    if fake is not None and ckpt is None:
        section = fake_section(fake, resolution)
        images = open_images(section)
        identity = {"fakes": fake, "fake_fingerprint": images.fingerprint}
        size = section["init_args"]["resolution"]
        return Subject(size, images.num_channels, images.dataset_size, section, None, None, identity)
    raise ValueError("evaluate needs --ckpt CHECKPOINT, or --fake FOLDER_OR_ZIP, and not both")


def _checkpoint(path: Path, ema: bool) -> Subject:
    checkpoint = read_networks(path)
    generator = generator_of(checkpoint, ema)
    seen = checkpoint["state_dict"].get("images_seen")
    kimg = None if seen is None else int(seen) / 1000
    run_dir = path.parent.parent if path.parent.name == "checkpoints" else None
    identity = {"checkpoint": str(path), "checkpoint_sha256": file_sha256(path), "kimg": kimg}
    return Subject(generator.resolution, generator.num_channels, None, None, run_dir, kimg, identity)


def _config_of(run_dir: Path | None) -> Path | None:
    config = None if run_dir is None else run_dir / "config.yaml"
    return config if config is not None and config.is_file() else None


def _check_real(real: ReferenceImages, resolution: int, subject: Subject) -> None:
    if resolution != subject.resolution:
        raise ValueError(
            f"the real images are {resolution}x{resolution} and the generated ones {subject.resolution}x"
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
    except KeyboardInterrupt:
        print(f"\nWhat was done is kept in {job.work_dir}: the same command goes on from there.", file=sys.stderr)
        raise


def _report(scores: Evaluation, subject: Subject, path: Path, metrics: Sequence[str]) -> None:
    """Print and keep the numbers."""
    scores = replace(scores, provenance={**scores.provenance, **subject.identity})
    for name, value in scores.values.items():
        print(f"{name:<32} {value:.6g}")
    wrong = [name.upper() for name in ("fid", "kid") if name in metrics and name not in scores.values]
    if wrong:
        print(
            f"warning: this is NOT {' or '.join(wrong)}: {scores.provenance['extractor']} has measured, and "
            f"its numbers compare only with each other.",
            file=sys.stderr,
        )
    write_scores(path, scores, kimg=subject.kimg)
    print(f"Wrote {path}")
    if subject.run_dir is not None and subject.run_dir.is_dir():
        append_to_history(subject.run_dir, "evaluate", subject.kimg, scores)


def main(words: list[str], parse: Parse) -> None:
    """Run the command with the words of the command line; `parse` understands those of `dualgan fit`."""
    words, data_words = _split(words)
    parser = command_parser("evaluate", run, skip={"parse", "metrics", "data_words"})
    parser.add_argument("--metrics", nargs="+", default=["fid", "kid"], metavar="NAME", help=_METRICS_HELP)
    parser.epilog = _EPILOG
    options = parser.parse_args(words).as_dict()
    without_effect = [f"--{name}" for name in _OF_GENERATORS if _is_given(name, words)]
    if options["fake"] is not None and without_effect:
        raise ValueError(
            f"{', '.join(without_effect)} has no effect on images that are there: leave it out with --fake"
        )
    run(parse, data_words=data_words, **options)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Part the words from the --data.KEY VALUE options among them."""
    ours: list[str] = []
    of_data: list[str] = []
    waiting = False  # for an option's value
    for word in words:
        belongs = word.startswith("--data.") or (waiting and not word.startswith("--"))
        waiting = word.startswith("--data.") and "=" not in word
        (of_data if belongs else ours).append(word)
    return ours, of_data


def _is_given(name: str, words: list[str]) -> bool:
    return any(word.split("=")[0] == f"--{name}" for word in words)
