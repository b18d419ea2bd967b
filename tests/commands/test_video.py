"""`dualgan video`: every kind of film, and mistakes told before the first frame."""

import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from dualgan.networks.mapping import with_mapping
from dualgan.networks.sampling import generate
from dualgan.studies.directions import Directions
from dualgan.studies.styles import images_of_styles, styles_of
from dualgan.weights.checkpoints import images_seen_in, load_generator
from tests.conftest import TINY, RunCLI, words

QUICK = ("--fps", 10, "--seconds", 0.2)


def frames(path: str) -> list[np.ndarray]:
    """The frames of an .mp4 file, 8x8 images of 480 pixels each."""
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def small(frame: np.ndarray, side: int) -> np.ndarray:
    """A frame at the size of its images, whose pixels are squares."""
    factor = frame.shape[1] // side
    return frame[factor // 2 :: factor, factor // 2 :: factor].astype(int)


def images(ckpt: Path, seeds: list[int], psi: float = 1.0) -> np.ndarray:
    return torch.cat(list(generate(load_generator(ckpt), seeds, truncation_psi=psi))).numpy().astype(int)


@pytest.fixture
def ckpt(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint()


@pytest.fixture
def run_with_history(run_cli: RunCLI) -> Path:
    """A run with three checkpoints and as many pictures."""
    few = ("--checkpoints.keep", 3, "--checkpoints.every_kimg", 0.008, "--samples.every_kimg", 0.008)
    run_cli.succeeds("fit", *TINY, *few, "--run_dir", "run")
    return Path("run")


def test_a_walk_begins_anew_where_it_ends(ckpt: Path, run_cli: RunCLI) -> None:
    out = run_cli.succeeds("video", "--ckpt", ckpt, "--seeds", "0-2", *QUICK, "--out", "new/walk.mp4")
    assert "Wrote 6 frames, 0.6 s of 480 x 480 pixels, to new/walk.mp4" in out
    film = frames("new/walk.mp4")
    assert len(film) == 6
    for frame, image in zip(film[::2], images(ckpt, [0, 1, 2]), strict=True):
        assert np.abs(small(frame, 8) - image).mean() < 4
    run_cli.succeeds("video", "--ckpt", ckpt, "--seeds", "0-2", *QUICK, "--once", "--out", "once.mp4")
    assert len(frames("once.mp4")) == 5


def test_a_grid_of_walks_deals_the_seeds_out(ckpt: Path, run_cli: RunCLI) -> None:
    grid = ("--rows", 2, "--columns", 3, "--seeds", "0-11", "--space", "w", "--easing", "linear")
    run_cli.succeeds("video", "--ckpt", ckpt, *grid, *QUICK, "--out", "grid.mp4")
    film = frames("grid.mp4")
    assert film[0].shape == (320, 480, 3)
    starts = images(ckpt, [0, 2, 4, 6, 8, 10])
    expected = starts.reshape(2, 3, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(16, 24, 3)
    assert np.abs(small(film[0], 24) - expected).mean() < 4


def test_a_grid_of_walks_has_keyframes_enough_by_default(ckpt: Path, run_cli: RunCLI) -> None:
    given = ("--rows", 1, "--columns", 3, *QUICK)
    run_cli.succeeds("video", "--ckpt", ckpt, *given, "--out", "usual.mp4")
    run_cli.succeeds("video", "--ckpt", ckpt, *given, "--seeds", "0-5", "--out", "given.mp4")
    assert Path("usual.mp4").read_bytes() == Path("given.mp4").read_bytes()


def test_gif_needs_no_pyav(ckpt: Path, run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    out = run_cli.succeeds("video", "--ckpt", ckpt, "--seeds", "0,1", "--seconds", 0.1, "--out", "walk.gif")
    with Image.open("walk.gif") as gif:
        assert gif.info["duration"] == 30  # 30 frames a second are kept as 33
    assert "0.18 s" in out
    error = run_cli.fails("video", "--ckpt", ckpt, "--out", "walk.mp4")
    assert "pip install 'dualgan[video]'" in error


def test_a_sweep_of_truncation(ckpt: Path, run_cli: RunCLI) -> None:
    given = ("--truncation_psi", 0, 1, "--seeds", "0-2", "--columns", 3)
    run_cli.succeeds("video", "--ckpt", ckpt, *given, *QUICK, "--out", "sweep.mp4")
    film = frames("sweep.mp4")
    assert len(film) == 4
    assert film[0].shape == (160 + 24, 480, 3)
    for frame, psi in ((film[0], 0.0), (film[2], 1.0)):
        expected = np.concatenate(list(images(ckpt, [0, 1, 2], psi)), axis=1)
        assert np.abs(small(frame[:160], 24) - expected).mean() < 4


@pytest.fixture
def ways(ckpt: Path, run_cli: RunCLI) -> list[object]:
    """A checkpoint and a file of two directions in its w."""
    run_cli.succeeds("directions", "--ckpt", ckpt, "--num", 2, "--seeds", 0, "--steps", 3, "--out", "ways.png")
    return ["--ckpt", ckpt, "--directions", "ways.safetensors"]


def test_directions_of_a_file_are_filmed_one_after_another(ways: list[object], ckpt: Path, run_cli: RunCLI) -> None:
    run_cli.succeeds("video", *ways, "--seeds", "0-2", "--columns", 3, "--strength", 2, *QUICK, "--out", "all.mp4")
    film = frames("all.mp4")
    assert len(film) == 2 * 4 * 2
    assert film[0].shape == (160 + 24, 480, 3)
    found, G = Directions.load("ways.safetensors"), with_mapping(load_generator(ckpt), "a test")
    strengths = [(0, 0), (2, 0), (0, 0), (-2, 0), (0, 0), (0, 2), (0, 0), (0, -2)]
    for frame, strength in zip(film[::2], strengths, strict=True):
        ws = found.moved(styles_of(G, [0, 1, 2]), torch.tensor(strength, dtype=torch.float32))
        expected = np.concatenate(list(images_of_styles(G, ws)), axis=1).astype(int)
        assert np.abs(small(frame[:160], 24) - expected).mean() < 4
    out = run_cli.succeeds("video", *ways, "--direction", "pca2", "--seeds", 0, *QUICK, "--once", "--out", "one.gif")
    assert "Wrote 7 frames" in out


def test_projected_images_move_along_directions(run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
    ckpt = finished_run() / "checkpoints" / "last.ckpt"
    run_cli.succeeds("directions", "--ckpt", ckpt, "--num", 1, "--seeds", 0, "--steps", 3, "--out", "ways.png")
    run_cli.succeeds("project", "--ckpt", ckpt, "--num", 2, "--steps", 2, "--noise", "--out", "drawn.png")
    given = ("--ckpt", ckpt, "--directions", "ways.safetensors", "--latents", "drawn.1.safetensors", *QUICK)
    run_cli.succeeds("video", *given, "--out", "moved.mp4")
    run_cli.succeeds(
        "video", "--ckpt", ckpt, "--latents", "drawn.1.safetensors", "--rows", 1, *QUICK, "--out", "at.mp4"
    )
    start = frames("moved.mp4")[0][: 480 // 2, : 480 // 2]
    assert np.abs(small(start, 8) - small(frames("at.mp4")[0], 8)).mean() < 4
    assert "seeds has no effect" in run_cli.fails("video", *given, "--seeds", 1, "--out", "x.mp4")


def test_truncation_may_stop_at_a_layer(ckpt: Path, run_cli: RunCLI) -> None:
    given = ("--seeds", "0-1", "--truncation_psi", 0, "--truncation_cutoff", 1, *QUICK)
    for kind in (("--space", "z"), ("--space", "w")):
        run_cli.succeeds("video", "--ckpt", ckpt, *kind, *given, "--out", "walk.mp4")
        truncated = generate(load_generator(ckpt), [0, 1], truncation_psi=0, truncation_cutoff=1)
        for frame, image in zip(frames("walk.mp4")[::2], torch.cat(list(truncated)).numpy().astype(int), strict=True):
            assert np.abs(small(frame, 8) - image).mean() < 4


def test_latents_of_project_are_keyframes(run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
    ckpt = finished_run() / "checkpoints" / "last.ckpt"
    run_cli.succeeds("project", "--ckpt", ckpt, "--num", 2, "--steps", 2, "--noise", "--out", "drawn.png")
    given = ("--latents", "drawn.1.safetensors", *QUICK, "--once")
    run_cli.succeeds("video", "--ckpt", ckpt, *given, "--out", "film.mp4")
    assert len(frames("film.mp4")) == 3
    error = run_cli.fails("video", "--ckpt", ckpt, *given, "--seeds", "0-1", "--out", "film.mp4")
    assert "seeds has no effect on a walk through saved latents" in error


def test_the_training_of_a_run(run_with_history: Path, run_cli: RunCLI) -> None:
    run_cli.succeeds("video", "--run_dir", run_with_history, *QUICK, "--out", "samples.mp4")
    pictures = sorted((run_with_history / "samples").glob("kimg_*.png"))
    film = frames("samples.mp4")
    assert len(film) == 2 * len(pictures) == 6
    for k, picture in enumerate(pictures):
        with Image.open(picture) as opened:
            expected = np.asarray(opened.convert("RGB")).astype(int)
        assert np.abs(small(film[2 * k][:480], 16) - expected).mean() < 4


def test_checkpoints_of_a_run(run_with_history: Path, run_cli: RunCLI) -> None:
    given = ("--run_dir", run_with_history, "--show", "checkpoints", "--seeds", "3-6")
    run_cli.succeeds("video", *given, *QUICK, "--out", "film.mp4")
    folder = run_with_history / "checkpoints"
    found = {images_seen_in(path): path for path in folder.glob("*.ckpt")}
    assert sorted(found) == [0, 8, 16]  # type: ignore[type-var]
    film = frames("film.mp4")
    for k, clock in enumerate(sorted(found)):  # type: ignore[type-var]
        four = images(found[clock], [3, 4, 5, 6])
        expected = four.reshape(2, 2, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(16, 16, 3)
        assert np.abs(small(film[2 * k][:480], 16) - expected).mean() < 4


def test_a_film_that_breaks_off_leaves_the_old_one(
    run_with_history: Path, run_cli: RunCLI, checkpoint: Callable[..., Path]
) -> None:
    shutil.copy(checkpoint(num_channels=1), run_with_history / "checkpoints" / "kimg_00000.012.ckpt")
    Path("film.mp4").write_bytes(b"old")
    error = run_cli.fails("video", "--run_dir", run_with_history, "--show", "checkpoints", "--out", "film.mp4")
    assert "kimg_00000.012.ckpt has num_channels 1" in error
    assert Path("film.mp4").read_bytes() == b"old"
    assert not list(Path().glob("*.partial"))


BAD = {
    "--out walk.avi": "'walk.avi' has an unknown ending: give a file that ends in .mp4, .gif",
    "--out nowhere.mp4 --codec h266": "codec 'h266' is unknown: expected libx264",
    "--out x.gif --codec libx264": "codec libx264 has no effect on a .gif file",
    "--out x.gif --fps 60": "fps 60 is out of range",
    "--out x.gif --fps nan": "fps 'nan' is not valid: expected a finite number such as 30. What --fps is: Frames",
    "--out x.gif --seconds 0": "seconds 0 is out of range",
    "--out x.gif --seconds nan": "seconds 'nan' is not valid: expected a finite number. What --seconds is: From",
    "--out x.mp4 --seconds 0.0001": "seconds 0.0001 is too short: at 30 frames a second give 0.0667 or more, 2 of them",
    "--out x.gif --fps 10 --seconds 0.1": "seconds 0.1 is too short: at 10 frames a second give 0.2 or more",
    "--out x.gif --truncation_psi 0 1 --seconds 0.01": "seconds 0.01 is too short: at 33.33 frames a second give 0.06",
    "--out x.gif --seconds=-1": "seconds -1 is out of range: at 33.33 frames a second give 0.06 or more",
    "--out x.gif --seconds inf": "seconds 'inf' is not valid: expected a finite number",
    "--out x.gif --seconds 3601": "seconds 3601 is out of range",
    "--out x.mp4 --codec aac": "codec 'aac' is a codec for sound, not for pictures: expected libx264",
    "--out x.gif --seconds 3600": "frames are too many",
    "--out x.gif --truncation_psi 0 nan": "truncation_psi 'nan' is not valid: expected a finite number",
    "--out x.gif --seeds 3": "1 keyframes for 1 x 1 walks",
    "--out x.gif --seeds 0-4 --columns 2": "and all as many, such as 4 in all",
    "--out x.gif --seeds 0,1,0": "seed 0 follows itself",
    "--out x.gif --rows 0": "rows and columns: 0 is too small",
    "--out x.gif --seeds 0-5000": "5001 seeds: a film takes up to 1024",
    "--out x.gif --space w --linear": "linear has no effect in w",
    "--out x.gif --label 1": "no classes",
    "--out x.gif --show samples": "show has no effect on a walk",
    "--out x.gif --truncation_psi 0 1 --space w": "space has no effect on a sweep of truncation",
    "--out x.gif --truncation_cutoff 2": "truncation_cutoff 2 has no effect without truncation_psi",
    "--out x.gif --truncation_psi 0.5 --truncation_cutoff 99": "truncation_cutoff 99 is out of range",
    "--out x.gif --direction pca1": "direction has no effect on a walk through latents",
    "--out x.gif --directions nowhere.safetensors": "no directions at nowhere.safetensors",
    "--out x.gif --directions nowhere.safetensors --space w": "space has no effect on a film of directions",
    "--out x.gif --latents nowhere.safetensors": "no latents at nowhere.safetensors",
    "--out x.gif --truncation_psi 0 1 --seeds 0-1023 --columns 1024": "frames of 8192 x 32 pixels are too large",
}


@pytest.mark.parametrize("given", BAD)
def test_mistakes_are_told_before_the_first_frame(given: str, ckpt: Path, run_cli: RunCLI) -> None:
    assert BAD[given] in run_cli.fails("video", "--ckpt", ckpt, *words(given))
    assert not [path for path in Path().iterdir() if path.suffix in (".gif", ".mp4", ".partial")]


BAD_DIRECTIONS = {
    "--direction pca3": "direction 'pca3' is not in the directions in ways.safetensors: expected pca1, pca2",
    "--direction pca1 pca1": "direction 'pca1' was named twice",
    "--strength 0": "strength 0 is out of range",
    "--strength nan": "strength 'nan' is not valid: expected a finite number",
    "--truncation_psi 0 1": "several values of truncation_psi have no effect on a film of directions",
}


@pytest.mark.parametrize("given", BAD_DIRECTIONS)
def test_mistakes_in_naming_directions(given: str, ways: list[object], run_cli: RunCLI) -> None:
    assert BAD_DIRECTIONS[given] in run_cli.fails("video", *ways, *words(given), "--out", "x.gif")
    assert not Path("x.gif").exists()


def test_mistakes_in_naming_a_run(ckpt: Path, run_cli: RunCLI) -> None:
    Path("run/samples").mkdir(parents=True)
    given = ("--out", "x.gif", "--run_dir")
    assert "no ckpt: name a .ckpt" in run_cli.fails("video", "--out", "x.gif")
    error = run_cli.fails("video", *given, "run", "--seconds", 0.001)
    assert "seconds 0.001 is too short: at 33.33 frames a second give 0.03 or more, 1 of them" in error
    assert "run_dir 'nowhere' is no folder" in run_cli.fails("video", *given, "nowhere")
    assert f"run_dir '{ckpt}' is no folder" in run_cli.fails("video", *given, ckpt)
    assert "has 0 dated pictures" in run_cli.fails("video", *given, "run")
    assert "has checkpoints of 0 times" in run_cli.fails("video", *given, "run", "--show", "checkpoints")
    assert "ckpt has no effect on a film of a run's pictures" in run_cli.fails("video", *given, "run", "--ckpt", ckpt)
    Image.new("RGB", (8, 8)).save("run/samples/kimg_00000.000.png")
    Image.new("RGB", (8, 16)).save("run/samples/kimg_00001.000.png")
    assert "kimg_00001.000.png has 8 x 16 pixels" in run_cli.fails("video", *given, "run")
    Path("run/samples/kimg_00001.000.png").write_bytes(b"half")
    assert "kimg_00001.000.png is no whole picture" in run_cli.fails("video", *given, "run")


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_file_that_cannot_grow_is_named(ending: str, run_with_history: Path, run_cli: RunCLI) -> None:
    for path in (run_with_history / "samples").glob("kimg_*.png"):
        Image.effect_noise((640, 640), 200).save(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        error = run_cli.fails("video", "--run_dir", run_with_history, "--out", f"film.{ending}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"film.{ending} cannot be written" in error
    assert not list(Path().glob("*film*"))
