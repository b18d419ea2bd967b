"""`dualgan video`: films of walks, of truncation and of trainings."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dualgan.commands.shared.verbs import FILES, SWITCH, command
from dualgan.files.atomic import naming, replacing
from dualgan.files.targets import file_to_write
from dualgan.networks import Generator
from dualgan.networks.classes import class_names
from dualgan.networks.mapping import with_mapping
from dualgan.pictures.films import (
    CODEC,
    FASTEST,
    Frame,
    check_codec,
    check_rate,
    kept_rate,
    laid_out,
    layout,
    save_gif,
    save_mp4,
)
from dualgan.runs.films import Sample, checkpoint_frames, dated_pictures, kept_checkpoints, picture_frames
from dualgan.runtime.progress import progress
from dualgan.studies.direction_film import chosen_directions, moving_cells, strength_captions, swings
from dualgan.studies.directions import Directions
from dualgan.studies.films import (
    Cell,
    Easing,
    SavedLatents,
    near_square,
    psi_captions,
    read_latents,
    timeline,
    truncation_cells,
    walk_frames,
)
from dualgan.studies.styles import styles_of
from dualgan.studies.walks import LatentSpace, check_neighbours, check_space, walk_of_seeds
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import check_cutoff, find_device, parse_seeds
from dualgan.weights.checkpoints import NETWORK_FILES, load_generator

MOST_SEEDS, MOST_FRAMES, LONGEST_PAUSE = 1024, 36_000, 3600
STRENGTH = 3.0  # standard deviations of w
Shown = Literal["samples", "attention", "checkpoints"]


class Film(NamedTuple):
    """A film to come.

    Attributes:
        frames: Of pictures [height, width]; made when they are asked for.
        total: Their number.
        captioned: Whether they have texts.
    """

    frames: Iterable[Frame]
    total: int
    height: int
    width: int
    captioned: bool = False


@dataclass(frozen=True)
class Options:
    """What was asked for, as `run` explains it, with its defaults but for those that a kind of film has of its own."""

    ckpt: str | None
    seeds: str | None
    latents: list[str] | None
    directions: str | None
    direction: list[str] | None
    strength: float
    run_dir: str | None
    show: Shown | None
    rows: int | None
    columns: int | None
    seconds: float | None
    rate: float
    easing: Easing
    once: bool
    space: LatentSpace
    linear: bool
    psis: list[float]
    cutoff: int | None
    label: str | None
    device: str

    def pause(self, usual: float, least: int = 2) -> int:
        """Frames from one keyframe to the next, or for which a picture stays, `usual` seconds by default.

        With fewer than `least` of them nothing would move, or some pictures would not be seen.
        """
        if self.seconds is None:
            return max(least, round(usual * self.rate))
        shortest = f"at {self.rate:.4g} frames a second give {least / self.rate:.3g} or more, {least} of them"
        if not 0 < self.seconds <= LONGEST_PAUSE:
            raise ValueError(f"seconds {self.seconds:g} is out of range: {shortest}, and up to {LONGEST_PAUSE}")
        if (frames := round(self.seconds * self.rate)) < least:
            raise ValueError(f"seconds {self.seconds:g} is too short: {shortest}")
        return frames

    @property
    def networks(self) -> str:
        """The checkpoint, which must be there."""
        if self.ckpt is None:
            raise ValueError(f"no ckpt: name a {NETWORK_FILES} with --ckpt, or a run's folder with --run_dir")
        return self.ckpt

    def keyframes(self, usual: str) -> list[int]:
        """The seeds."""
        seeds = parse_seeds(usual if self.seeds is None else self.seeds, distinct=False)
        if len(seeds) > MOST_SEEDS:
            raise ValueError(f"{len(seeds)} seeds: a film takes up to {MOST_SEEDS}")
        return list(seeds)

    def usual_keyframes(self) -> str:
        """Seeds of a film of walks that was given none: four of one or two walks, two of each where there are more."""
        return f"0-{max(4, 2 * math.prod(self._walks())) - 1}"

    def _walks(self) -> tuple[int, int]:
        rows, columns = (1 if given is None else _at_least_one(given) for given in (self.rows, self.columns))
        return rows, columns

    def grid(self, keyframes: int) -> tuple[int, int]:
        """Rows and columns of a grid of walks, through equally many keyframes each."""
        rows, columns = self._walks()
        if keyframes % (rows * columns) or keyframes < 2 * rows * columns:
            raise ValueError(
                f"{keyframes} keyframes for {rows} x {columns} walks: each needs two or more, and all as many, such as "
                f"{2 * rows * columns} in all"
            )
        return rows, columns

    def sheet(self, images: int) -> tuple[int, int]:
        """Rows and columns of a grid of images."""
        columns = near_square(images) if self.columns is None else _at_least_one(self.columns)
        return -(-images // columns), columns


def _at_least_one(count: int) -> int:
    if count < 1:
        raise ValueError(f"rows and columns: {count} is too small, give 1 or more")
    return count


def run(
    out: str,
    ckpt: str | None = None,
    seeds: str | None = None,
    latents: list[str] | None = None,
    directions: str | None = None,
    direction: list[str] | None = None,
    strength: float | None = None,
    run_dir: str | None = None,
    show: Shown | None = None,
    rows: int | None = None,
    columns: int | None = None,
    seconds: float | None = None,
    fps: float = 30,
    easing: Easing | None = None,
    once: bool = False,
    space: LatentSpace | None = None,
    linear: bool = False,
    truncation_psi: list[float] | None = None,
    truncation_cutoff: int | None = None,
    label: str | None = None,
    codec: str | None = None,
    device: str = "auto",
) -> None:
    """Film walks of the averaged generator through latents, truncation, directions in w, or the training of a run.

    Args:
        out: File that ends in .mp4, which needs PyAV (pip install 'dualgan[video]'), or in .gif.
        seeds: Keyframes, as numbers and ranges such as 0-3 or 1,5,10-12 (0-3 by default, two for each walk of a
            larger grid), dealt out to the walks of the grid in their order; for a sweep, directions and checkpoints the
            seeds of the images (0-15 by default).
        latents: Keyframes from .safetensors files of 'dualgan project' or 'dualgan explore' for the same checkpoint, in
            the place of seeds; with directions the images that move.
        directions: File of 'dualgan directions' for this checkpoint: the images move along each, back, and as far the
            other way, then along the next.
        direction: Names of those of the file that are filmed, such as pca2; all by default.
        strength: How far the images move along directions, in standard deviations of w; 3 by default.
        run_dir: Folder of a run, whose training is filmed.
        show: What of the run, "samples" (the default) or "attention" for pictures that it has written, "checkpoints"
            for images of --seeds by each checkpoint that it has kept.
        rows: Walks below each other, 1 by default.
        columns: Walks beside each other, 1 by default; of a sweep, of directions and of checkpoints images, by default
            about as many as there are rows.
        seconds: From each keyframe to the next, 2 by default and two frames or more; of a run how long each picture
            stays, 0.2 by default.
        fps: Frames a second.
        easing: "linear" moves evenly, "smooth" (the default) slows down at keyframes, "smoother" even more.
        once: End at the last keyframe; by default the film returns to the first one, where it may begin anew.
        space: "z" (the default) walks great circles, "w" straight lines.
        linear: Walk straight lines in z.
        truncation_psi: 1, the default, for none; several values, such as 0 1, are the keyframes of a sweep.
        codec: FFmpeg's encoder of an .mp4 file, libx264 by default.
    """
    given = {name for name, value in locals().items() if value is not None and value is not False}
    path = file_to_write(out, list(FASTEST))
    check_rate(fps, path.suffix)
    if path.suffix == ".gif" and codec is not None:
        raise ValueError(f"codec {codec} has no effect on a .gif file: leave it out")
    if path.suffix == ".mp4":
        check_codec(codec or CODEC)
    options = Options(
        ckpt, seeds, latents, directions, direction, STRENGTH if strength is None else strength, run_dir, show, rows,
        columns, seconds, kept_rate(fps, path.suffix), easing or "smooth", once, space or "z", linear,
        truncation_psi or [1.0], truncation_cutoff, label, device,
    )  # fmt: skip
    check_cutoff(truncation_cutoff, options.psis)
    _write(_chosen(options, given)(options), path, options.rate, codec or CODEC)


def _chosen(options: Options, given: Collection[str]) -> Callable[[Options], Film]:
    """The kind of film.

    Raises:
        ValueError: An option has no effect on it.
    """
    if options.run_dir is not None:
        kind = _of_checkpoints if options.show == "checkpoints" else _of_pictures
    elif options.directions is not None:
        kind = _of_directions if options.latents is None else _of_moved_latents
    elif options.latents is not None:
        kind = _of_latents
    else:
        kind = _of_seeds if len(options.psis) == 1 else _of_truncation
    in_words, without = KINDS[kind]
    for name in without:
        if name in given:
            raise ValueError(f"{name} has no effect on {in_words}: leave it out")
    return kind


def _of_seeds(options: Options) -> Film:
    numbers = options.keyframes(options.usual_keyframes())
    rows, columns = options.grid(len(numbers))
    check_space(options.space, options.linear)
    each = len(numbers) // (rows * columns)
    walks = [numbers[k : k + each] + ([] if options.once else numbers[k : k + 1]) for k in range(0, len(numbers), each)]
    for walk in walks:
        check_neighbours(walk)
    when = timeline(len(walks[0]), options.pause(2), options.easing, with_end=options.once)
    generator = load_generator(options.networks).to(find_device(options.device))
    label = chosen_class(options.label, class_names(generator))
    truncation: dict[str, Any] = {"truncation_psi": options.psis[0], "truncation_cutoff": options.cutoff}
    how: dict[str, Any] = {"linear": options.linear, "label": label, **truncation}
    cells = [Cell(walk_of_seeds(generator, walk, options.space, **how)) for walk in walks]
    size = generator.resolution
    frames = walk_frames(generator, cells, columns, when)
    return Film(frames, len(when.segments), rows * size, columns * size)


def _of_latents(options: Options) -> Film:
    assert options.latents is not None
    pause = options.pause(2)
    generator = load_generator(options.networks).to(find_device(options.device))
    saved = read_latents(options.latents, generator)
    rows, columns = options.grid(len(saved.styles))
    points = len(saved.styles) // (rows * columns) + (not options.once)
    when = timeline(points, pause, options.easing, with_end=options.once)
    frames = walk_frames(generator, saved.cells(rows * columns, closed=not options.once), columns, when)
    return Film(frames, len(when.segments), rows * generator.resolution, columns * generator.resolution)


def _of_truncation(options: Options) -> Film:
    numbers = options.keyframes("0-15")
    rows, columns = options.sheet(len(numbers))
    psis = options.psis + ([] if options.once else options.psis[:1])
    when = timeline(len(psis), options.pause(2), options.easing, with_end=options.once)
    generator = load_generator(options.networks).to(find_device(options.device))
    label = chosen_class(options.label, class_names(generator))
    cells = truncation_cells(generator, numbers, psis, label, options.cutoff)
    frames = walk_frames(generator, cells, columns, when, psi_captions(psis, when))
    return Film(frames, len(when.segments), rows * generator.resolution, columns * generator.resolution, True)


def _of_directions(options: Options) -> Film:
    if len(options.psis) > 1:
        raise ValueError("several values of truncation_psi have no effect on a film of directions: give one")
    numbers, found = options.keyframes("0-15"), _directions(options)
    generator = load_generator(options.networks).to(find_device(options.device))
    label = chosen_class(options.label, class_names(generator))
    truncation: dict[str, Any] = {"truncation_psi": options.psis[0], "truncation_cutoff": options.cutoff}
    ws = styles_of(with_mapping(generator, "a film of directions"), numbers, label=label, **truncation)
    return _moving(options, generator, found, SavedLatents(ws, {}))


def _of_moved_latents(options: Options) -> Film:
    assert options.latents is not None
    found = _directions(options)
    generator = load_generator(options.networks).to(find_device(options.device))
    return _moving(options, generator, found, read_latents(options.latents, generator))


def _directions(options: Options) -> Directions:
    assert options.directions is not None
    return Directions.load(options.directions)


def _moving(options: Options, generator: Generator, found: Directions, start: SavedLatents) -> Film:
    """Images that move along directions."""
    found.check_fits(generator, source := f"the directions in {options.directions}")
    chosen = chosen_directions(found, options.direction, source)
    strengths = swings(found, chosen, options.strength, closed=not options.once)
    when = timeline(len(strengths), options.pause(2), options.easing, with_end=options.once)
    rows, columns = options.sheet(len(start.styles))
    cells = moving_cells(start.styles, found, strengths, start.noise)
    frames = walk_frames(generator, cells, columns, when, strength_captions(found, chosen, strengths, when))
    return Film(frames, len(when.segments), rows * generator.resolution, columns * generator.resolution, True)


def _of_pictures(options: Options) -> Film:
    pause = options.pause(0.2, least=1)
    pictures, (height, width) = dated_pictures(_folder_of_run(options), options.show or "samples")
    return Film(_held(picture_frames(pictures), pause), pause * len(pictures), height, width, True)


def _of_checkpoints(options: Options) -> Film:
    numbers, pause = options.keyframes("0-15"), options.pause(0.2, least=1)
    rows, columns = options.sheet(len(numbers))
    checkpoints = kept_checkpoints(_folder_of_run(options))
    first = load_generator(checkpoints[0][1])
    sample = Sample(numbers, columns, chosen_class(options.label, class_names(first)), options.psis[0], options.cutoff)
    frames = checkpoint_frames(checkpoints, find_device(options.device), sample)
    return Film(
        _held(frames, pause), pause * len(checkpoints), rows * first.resolution, columns * first.resolution, True
    )


def _folder_of_run(options: Options) -> Path:
    assert options.run_dir is not None
    folder = Path(options.run_dir)
    if not folder.is_dir():
        raise ValueError(f"run_dir {options.run_dir!r} is no folder: name that of a run, such as runs/clevr_demo")
    return folder


def _held(frames: Iterable[Frame], count: int) -> Iterable[Frame]:
    """Every frame `count` times."""
    return (frame for frame in frames for _ in range(count))


OF_DIRECTIONS = ("direction", "strength")
OF_A_RUN = ("ckpt", "latents", "directions", *OF_DIRECTIONS, "rows", "easing", "once", "space", "linear")
OF_SEEDS = ("seeds", "truncation_psi", "truncation_cutoff", "label")
KINDS: dict[Callable[[Options], Film], tuple[str, tuple[str, ...]]] = {
    _of_seeds: ("a walk through latents without --run_dir", ("show", *OF_DIRECTIONS)),
    _of_latents: ("a walk through saved latents", (*OF_SEEDS, "space", "linear", "show", *OF_DIRECTIONS)),
    _of_truncation: ("a sweep of truncation", ("rows", "space", "linear", "show", *OF_DIRECTIONS)),
    _of_directions: ("a film of directions", ("rows", "space", "linear", "show")),
    _of_moved_latents: ("a film of directions from saved latents", (*OF_SEEDS, "rows", "space", "linear", "show")),
    _of_pictures: ("a film of a run's pictures", (*OF_A_RUN, *OF_SEEDS, "columns")),
    _of_checkpoints: ("a film of a run's checkpoints", OF_A_RUN),
}
"""Each kind of film in words, and the options that mean nothing to it."""


def _write(film: Film, path: Path, rate: float, codec: str) -> None:
    if film.total > MOST_FRAMES:
        raise ValueError(f"{film.total} frames are too many for one film, which has up to {MOST_FRAMES}: take fewer")
    how = layout(film.height, film.width, film.captioned)
    pages = (laid_out(frame, how) for frame in progress(film.frames, "Filming", film.total, "frames"))
    with naming(path), replacing(path) as partial:
        if path.suffix == ".gif":
            save_gif(pages, partial, rate, how.caption)
        else:
            save_mp4(pages, partial, rate, codec, how.height, how.width)
    print(f"Wrote {film.total} frames, {film.total / rate:.3g} s of {how.width} x {how.height} pixels, to {path}")


main = command(
    "video",
    run,
    latents=FILES,
    direction={"nargs": "+", "metavar": "NAME"},
    once=SWITCH,
    linear=SWITCH,
    truncation_psi={"nargs": "+", "type": float, "metavar": "PSI"},
)
