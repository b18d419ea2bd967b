"""The commands that look into networks, on a run that was trained."""

import json
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.cli import instantiate_class
from safetensors.torch import load_file

from dualgan.commands import project
from dualgan.commands.shared import real_images as real_images_module
from dualgan.commands.shared.real_images import real_images
from dualgan.data import ImageDataModule, ImageFolder, SyntheticCLEVR
from dualgan.networks import StyleGAN2Generator
from dualgan.studies.directions import Directions
from dualgan.terminal.options import run_names
from dualgan.weights.checkpoints import load_discriminator, load_generator
from tests.conftest import RunCLI
from tests.conftest import words as split

Run = Callable[[], Path]
OUT = ("--out", "out.png")
STUDIES = ("samples", "neighbors", "interpolate", "mix", "directions", "spectra", "project", "tsne")


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


@pytest.fixture
def ckpt(finished_run: Run, caches: None) -> Path:
    return finished_run() / "checkpoints" / "last.ckpt"


def unnamed(sheet: np.ndarray, columns: int) -> np.ndarray:
    """A sheet of images of 8x8 pixels, enlarged to 64, without the names of its rows."""
    return sheet[4::8, -64 * columns + 4 :: 8]


def test_samples(ckpt: Path, run_cli: RunCLI) -> None:
    run_cli.succeeds("samples", "--ckpt", ckpt, "--rows", 2, "--columns", 3, "--out", "new/sheet.png")
    assert pixels("new/sheet.png").shape == (16, 24, 3)
    out = run_cli.succeeds("samples", "--ckpt", ckpt, "--truncation_psi", 0, 1, "--columns", 3, "--out", "psi.png")
    assert "2 rows of 3 images" in out
    assert (unnamed(pixels("psi.png"), 3)[8:] == pixels("new/sheet.png")[:8]).all()


def test_truncation_of_the_first_layers(ckpt: Path, run_cli: RunCLI) -> None:
    for name, given in {"none": "1", "all": "0", "first": "0 --truncation_cutoff 1"}.items():
        run_cli.succeeds("generate", "--ckpt", ckpt, "--seeds", 3, "--truncation_psi", *split(given), "--out", name)
    images = [pixels(f"{name}/seed000003.png") for name in ("none", "all", "first")]
    assert all((a != b).any() for a, b in combinations(images, 2))
    words = ("--truncation_psi", 0, 1, "--truncation_cutoff", 1, "--seed", 3, "--columns", 1)
    run_cli.succeeds("samples", "--ckpt", ckpt, *words, *OUT)
    assert (unnamed(pixels("out.png"), 1) == np.concatenate([images[2], images[0]])).all()


def test_rows_of_classes(checkpoint: Callable[..., Path], run_cli: RunCLI) -> None:
    ckpt = checkpoint(num_classes=3, classes=[("cat", 4), ("emu", 0), ("dog", 5)])
    out = run_cli.succeeds("samples", "--ckpt", ckpt, "--by_class", "--columns", 2, *OUT)
    assert "2 rows of 2 images" in out
    assert "from the top: cat, dog" in out
    for row, name in enumerate(("cat", "dog")):
        run_cli.succeeds("samples", "--ckpt", ckpt, "--label", name, "--rows", 1, "--columns", 2, "--out", "one.png")
        shown = unnamed(pixels("out.png"), 2)[8 * row : 8 * row + 8].astype(int)
        assert np.abs(shown - pixels("one.png")).max() <= 1


def test_mix(ckpt: Path, run_cli: RunCLI) -> None:
    run_cli.succeeds("mix", "--ckpt", ckpt, *split("--rows 0,1 --cols 2-4 --layers 1,3 --truncation_psi 0.7"), *OUT)
    report = json.loads(Path("out.json").read_text())
    assert (report["rows"], report["columns"], report["layers"]) == ([0, 1], [2, 3, 4], [1, 3])
    assert (report["truncation_psi"], report["truncation_cutoff"]) == (0.7, None)
    assert pixels("out.png").ndim == 3


@pytest.mark.parametrize("method", ["pca", "sefa"])
def test_directions_and_their_file(method: str, ckpt: Path, run_cli: RunCLI) -> None:
    words = split(f"--method {method} --num 3 --layers 0-1 --seeds 5 --steps 3 --strength 2")
    out = run_cli.succeeds("directions", "--ckpt", ckpt, *words, *OUT)
    assert f"{method}1 " in out
    report = json.loads(Path("out.json").read_text())
    assert report["strengths"] == [-2, 0, 2]
    saved = Directions.load("out.safetensors")
    assert saved.as_dict().items() <= report.items()
    saved.check_fits(load_generator(ckpt))
    run_cli.succeeds("export", "--ckpt", ckpt, "--out", "small.safetensors", "--dtype", "float16")
    saved.check_fits(load_generator("small.safetensors"))
    assert "does not describe its networks" in run_cli.fails("mix", "--ckpt", "out.safetensors", "--out", "no.png")


def test_spectra(ckpt: Path, run_cli: RunCLI) -> None:
    shutil.copy(ckpt, "other.ckpt")
    out = run_cli.succeeds("spectra", "--ckpt", ckpt, "other.ckpt", "--num", 12, *OUT)
    assert out.count(" dB, upper half of frequencies ") == 2
    report = json.loads(Path("out.json").read_text())
    assert [one["num"] for one in report["checkpoints"]] == [12, 12]
    assert report["checkpoints"][0]["curves_db"] == report["checkpoints"][1]["curves_db"]


def test_neighbors_of_the_runs_own_data(ckpt: Path, run_cli: RunCLI) -> None:
    words = ("--seeds", "0-1", "--k", 3, "--out", "near.png")
    out = run_cli.succeeds("neighbors", "--ckpt", ckpt, *words)
    assert "efficientnet_lite0" in out
    report = json.loads(Path("near.json").read_text())
    assert report["num_searched"] == 16
    assert report["spaces"].keys() == {"pixel", "perceptual"}
    for space in report["spaces"].values():
        assert [len(row["nearest"]) for row in space["neighbors"]] == [3, 3]
    run_cli.succeeds("neighbors", "--ckpt", ckpt, *words[:-1], "again.png", "--space", "pixel")
    again = json.loads(Path("again.json").read_text())
    assert again["spaces"] == {"pixel": report["spaces"]["pixel"]}


def test_packed_images_are_searched_as_they_were_prepared(ckpt: Path, run_cli: RunCLI) -> None:
    Path("photos").mkdir()
    for number in range(4):
        Image.effect_noise((9, 8), 50 + number).convert("RGB").save(f"photos/{number}.png")
    run_cli.succeeds("prepare", "photos", "packed", "--resolution", 8, "--filter", "box")
    run_cli.succeeds("neighbors", "--ckpt", ckpt, "--data", "packed", "--k", 2, "--space", "pixel", "--out", "near.png")
    assert json.loads(Path("near.json").read_text())["num_searched"] == 4


def test_interpolate(ckpt: Path, run_cli: RunCLI) -> None:
    words = ("--seeds", "0,1", "--steps", 4, "--frames", 5, "--linear", "--threshold", 0, "--out", "walk.png")
    out = run_cli.succeeds("interpolate", "--ckpt", ckpt, *words)
    (path,) = json.loads(Path("walk.json").read_text())["paths"]
    assert len(path["scores"]) == 3
    assert f"{len(path['jumps'])} of 3 steps are jumps" in out
    with Image.open("walk.gif") as gif:
        assert gif.n_frames <= 8  # type: ignore[attr-defined]  # equal frames are joined
    assert pixels("walk.png").ndim == 3


def test_project_with_two_checkpoints(ckpt: Path, run_cli: RunCLI) -> None:
    shutil.copy(ckpt, "other.ckpt")
    words = ("--num", 2, "--steps", 2, "--space", "w+", "--noise", "--out", "drawn.png")
    run_cli.succeeds("project", "--ckpt", ckpt, "other.ckpt", *words)
    report = json.loads(Path("drawn.json").read_text())
    assert [len(one["pixel"]) for one in report["checkpoints"]] == [2, 2]
    assert report["checkpoints"][0]["pixel"] == report["checkpoints"][1]["pixel"]
    G = load_generator(ckpt)
    latents = load_file("drawn.1.safetensors")
    assert latents["ws"].shape == (2, G.num_ws, G.w_dim)
    assert latents["noise.b8.conv1.noise_const"].shape == (2, 8, 8)
    assert Path("drawn.2.safetensors").is_file()


def test_project_of_files(ckpt: Path, run_cli: RunCLI, photographs: Path) -> None:
    files = sorted(photographs.iterdir())[:2]
    run_cli.succeeds("project", "--ckpt", ckpt, "--images", *files, "--steps", 1, "--out", "drawn.png")
    assert json.loads(Path("drawn.json").read_text())["queries"] == [file.name for file in files]


def test_tsne(ckpt: Path, run_cli: RunCLI) -> None:
    words = ("--num", 8, "--points", 4, "--perplexity", 2, "--out", "plane.png")
    out = run_cli.succeeds("tsne", "--ckpt", ckpt, *words)
    (one,) = json.loads(Path("plane.json").read_text())["checkpoints"]
    assert f"FDDF {one['fddf']:.2g} (8 generated images and 8 real images: below " in out
    assert one["note"].startswith("8 generated images and 8 real images: below ")
    assert np.shape(one["points"]["real"]) == np.shape(one["points"]["generated"]) == (4, 2)


@pytest.mark.parametrize("attention", [False, True])
def test_fddf_is_the_same_number_in_evaluate_and_tsne(
    attention: bool, checkpoint: Callable[..., Path], run_cli: RunCLI
) -> None:
    real = ("--data", "SyntheticCLEVR", "--data.num_images", 80, "--data.num_renderers", 1)
    ckpt = checkpoint(references=attention)
    counts = ("--num_fake", 72, "--num_real", 72, "--seed", 1)
    settings = ("--extractor", "efficientnet_lite0", "--metrics", "fddf", "--out", "metrics.json")
    run_cli.succeeds("evaluate", "--ckpt", ckpt, *real, *counts, *settings)
    run_cli.succeeds("tsne", "--ckpt", ckpt, *real, "--num", 72, "--seed", 1, "--points", 8, "--perplexity", 2, *OUT)
    scores, (drawn,) = (
        json.loads(Path("metrics.json").read_text()),
        json.loads(Path("out.json").read_text())["checkpoints"],
    )
    assert scores["fddf"] == drawn["fddf"]
    assert (drawn["num_real"], drawn["num_fake"]) == (72, 72)
    wanted = {"fddf_references": 80 if attention else 0, "fddf_batch_size": 64}
    assert {name: scores["provenance"][name] for name in wanted} == wanted


WITH_DATA = {
    "evaluate": split("--num_fake 8 --extractor efficientnet_lite0 --metrics fid --out metrics.json"),
    "neighbors": split("--k 2 --space pixel --out out.png"),
    "project": split("--num 2 --steps 1 --out out.png"),
    "tsne": split("--num 4 --points 4 --perplexity 2 --out out.png"),
    "spectra": split("--num 4 --out out.png"),
}


@pytest.mark.parametrize("verb", WITH_DATA)
@pytest.mark.parametrize(
    ("data", "options", "opened", "size"),
    [
        ("photos", [], ImageFolder, 8),
        ("photos", split("--data.num_channels 3 --data.subset 6"), ImageFolder, 6),
        ("own.yaml", [], SyntheticCLEVR, 10),
        ("own.yaml", split("--data.num_images=9"), SyntheticCLEVR, 9),
        ("clevr_demo.yaml", split("--data.num_images 9 --data.resolution 8 --data.num_renderers 1"), SyntheticCLEVR, 9),
        ("SyntheticCLEVR", split("--data.num_images 9 --data.num_renderers 1"), SyntheticCLEVR, 9),
        (None, [], SyntheticCLEVR, 16),
        (None, split("--data.subset 8"), SyntheticCLEVR, 8),
    ],
)
def test_real_images_are_named_in_the_same_ways_for_every_command(
    verb: str,
    data: str | None,
    options: list[str],
    opened: type,
    size: int,
    ckpt: Path,
    run_cli: RunCLI,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[ImageDataModule] = []

    def build(args: tuple[()], section: dict[str, Any]) -> ImageDataModule:
        used.append(instantiate_class(args, section))
        return used[-1]

    monkeypatch.setattr(real_images_module, "instantiate_class", build)
    Path("photos").mkdir()
    for number in range(8):
        Image.effect_noise((9, 8), 50 + number).convert("RGB").save(f"photos/{number}.png")
    section = {"class_path": "SyntheticCLEVR", "init_args": {"resolution": 8, "num_images": 10, "num_renderers": 1}}
    Path("own.yaml").write_text(json.dumps({"data": section}))
    run_cli.succeeds(verb, "--ckpt", ckpt, *([] if data is None else ["--data", data]), *options, *WITH_DATA[verb])
    assert (type(used[-1]), used[-1].dataset_size, used[-1].resolution) == (opened, size, 8)


@pytest.mark.parametrize("verb", WITH_DATA)
def test_mistakes_in_naming_real_images(verb: str, ckpt: Path, run_cli: RunCLI) -> None:
    Path("own.yaml").write_text('data: {class_path: "SyntheticCLEVR", init_args: {num_images: 0}}')
    Path("empty.yaml").write_text("model: {}")
    shutil.copy(ckpt, "alone.ckpt")

    def refused(*more: str, of: Path | str = ckpt) -> str:
        return run_cli.fails(verb, "--ckpt", of, *more, *WITH_DATA[verb])

    assert "no real images: alone.ckpt" in refused(of="alone.ckpt")
    assert "own.yaml: num_images 0" in refused("--data", "own.yaml")
    assert refused("--data", "own.yaml", "--data.num_images=-1").startswith("num_images -1")
    assert "empty.yaml has no data section" in refused("--data", "empty.yaml")
    assert "did you mean 'clevr_demo.yaml'" in refused("--data", "clevr_dem.yaml")
    assert "did you mean --data.resolution" in refused("--data.rezolution", "8")
    assert "unknown option 'scene_seed'" in refused("--data", "photos", "--data.scene_seed", "8").replace("data.", "")
    assert "nowhere" in refused("--data", "nowhere")


@pytest.mark.parametrize("study", STUDIES)
def test_mistakes_that_all_refuse_before_any_file(study: str, ckpt: Path, run_cli: RunCLI) -> None:
    assert "nowhere.ckpt" in run_cli.fails(study, "--ckpt", "nowhere.ckpt", "--out", "out.png")
    assert ".png" in run_cli.fails(study, "--ckpt", ckpt, "--out", "out.jpg")
    assert "abacus" in run_cli.fails(study, "--ckpt", ckpt, "--out", "out.png", "--device", "abacus")
    assert not list(Path().glob("out*"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("samples --rows 2 --truncation_psi 0 1", "row per value"),
        ("samples --label 1", "no classes"),
        ("samples --by_class", "a row per class needs classes"),
        ("samples --by_class --rows 2", "rows 2 with by_class"),
        ("samples --by_class --label 1", "label 1 with by_class"),
        ("samples --by_class --truncation_psi 0 1", "one or the other"),
        ("samples --truncation_cutoff 2", "no effect without truncation_psi"),
        ("samples --truncation_psi 0.5 --truncation_cutoff 9", "truncation_cutoff 9 is out of range"),
        ("samples --truncation_psi nan", "nan"),
        ("mix --rows 0,0", "rows '0,0' name 0 twice"),
        ("mix --cols 0-40", "41 cols: a figure has room for 32"),
        ("mix --cols x", "cols 'x'"),
        ("mix --layers 4", "layer 4 does not exist: this generator has layers 0 to 3"),
        ("mix --layers 2-1", "layers '2-1'"),
        ("mix --truncation_cutoff 2", "no effect without truncation_psi"),
        ("mix --label 1", "no classes"),
        ("directions --method ica", "ica"),
        ("directions --num 17 --seeds 0", "num 17 is above the 16 dimensions of w"),
        ("directions --num 17", "17 directions of 2 seeds"),
        ("directions --steps 4", "steps 4"),
        (
            "directions --strength nan",
            "strength 'nan' is not valid: expected a finite number such as 3. What --strength is: How far",
        ),
        ("directions --layers 9", "layer 9 does not exist"),
        ("spectra --num 1", "num 1 is too small"),
        ("spectra --num 17", "num 17 is above the 16 real images"),
        ("spectra --seed 4096", "seed 4096"),
        ("neighbors --k 17", "k 17 does not fit a training set of 16"),
        ("neighbors --space sound", "pixel"),
        ("neighbors --space pixel --extractor efficientnet_lite0", "no effect"),
        ("neighbors --data nowhere", "nowhere"),
        ("neighbors --data nowhere.yaml", "nowhere.yaml"),
        ("interpolate --seeds 3", "1 seeds"),
        ("interpolate --space w --linear", "no effect in w"),
        ("interpolate --frames 1", "frames 1"),
        ("project --num 17", "draw 1 to 16"),
        ("project --images no.png", "no.png"),
        ("project --images .", ". is a folder: pass files of images"),
        ("project --images no.png --num 2", "no effect"),
        ("project --steps 0", "steps 0"),
        ("project --seed=-1", "seed -1"),
        ("tsne --num 17 --points 4 --perplexity 2", "num 17 is above the 16"),
        ("tsne --points 1", "points 1"),
    ],
)
def test_bad_settings(words: str, expected: str, ckpt: Path, run_cli: RunCLI) -> None:
    study, *others = words.split()
    assert expected in run_cli.fails(study, "--ckpt", ckpt, "--out", "out.png", *others)
    assert not list(Path().glob("out*"))


def test_data_of_another_size(ckpt: Path, run_cli: RunCLI) -> None:
    section = {"class_path": "SyntheticCLEVR", "init_args": {"resolution": 16, "num_images": 2, "num_renderers": 1}}
    Path("other.yaml").write_text(json.dumps({"data": section}))
    for study in ("neighbors", "project", "tsne", "spectra"):
        error = run_cli.fails(study, "--ckpt", ckpt, "--data", "other.yaml", "--out", "out.png")
        assert "resolution 16, and the generator resolution 8" in error


def test_damaged_image(ckpt: Path, run_cli: RunCLI) -> None:
    Path("bad.png").write_bytes(b"no image")
    assert "bad.png cannot be decoded" in run_cli.fails(
        "project", "--ckpt", ckpt, "--images", "bad.png", "--out", "out.png"
    )


def test_checkpoint_twice(ckpt: Path, run_cli: RunCLI) -> None:
    assert "given twice" in run_cli.fails("tsne", "--ckpt", ckpt, ckpt, "--out", "out.png")


def test_images_are_read_like_those_of_the_run(tmp_path: Path) -> None:
    wide = np.zeros((218, 178, 3), np.uint8)
    wide[57:185, 25:153] = 200  # what crop celeba keeps
    Image.fromarray(wide).save(tmp_path / "face.png")
    run = {"class_path": "ImageFolder", "init_args": {"root": "faces", "resolution": 8, "crop": "celeba"}}
    (tmp_path / "config.yaml").write_text(json.dumps({"data": run}))
    G, ckpt = StyleGAN2Generator(8, channel_base=64, channel_max=8), str(tmp_path / "checkpoints" / "last.ckpt")
    assert project._read([str(tmp_path / "face.png")], ckpt, G).min() == 200
    folder = real_images(str(tmp_path), ckpt, 8)
    assert isinstance(folder, ImageFolder)
    assert (folder.crop, folder.resize_filter) == ("celeba", "lanczos")
    assert project._read([str(tmp_path / "face.png")], "elsewhere/a/last.ckpt", G).min() < 200
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"small\.png cannot be cropped like the run's images: .*crop 'celeba'"):
        project._read([str(tmp_path / "small.png")], ckpt, G)


def test_where_data_is_found(ckpt: Path, photographs: Path, in_empty_folder: Path) -> None:
    own = real_images(None, str(ckpt), 8)
    assert isinstance(own, SyntheticCLEVR)
    assert own.num_images == 16
    folder = real_images(str(photographs), str(ckpt), 8)
    assert isinstance(folder, ImageFolder)
    assert (folder.resolution, folder.num_channels) == (8, 3)
    shutil.copy(ckpt, "alone.ckpt")
    with pytest.raises(ValueError, match="--data"):
        real_images(None, "alone.ckpt", 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: {}", "no data section"),
        ("data: [", "not a configuration"),
        ("data: {class_path: Landscapes}", "Landscapes"),
        ("data: {class_path: SyntheticCLEVR, init_args: {num_image: 3}}", "num_image"),
        ("data: {class_path: SyntheticCLEVR, init_args: {num_images: 0}}", "num_images"),
    ],
)
def test_bad_configurations(text: str, expected: str, in_empty_folder: Path) -> None:
    Path("wrong.yaml").write_text(text)
    with pytest.raises(ValueError, match=expected) as caught:
        real_images("wrong.yaml", None, 8)
    assert "wrong.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_runs() -> None:
    assert run_names(["runs/a/checkpoints/last.ckpt", "b.ckpt"]) == ["a", "b"]
    assert run_names(["a/checkpoints/last.ckpt", "a/checkpoints/best.ckpt"]) == ["a/last", "a/best"]
    assert len(set(run_names(["x/a.ckpt", "y/a.ckpt"]))) == 2


def test_discriminator_of_a_checkpoint(ckpt: Path) -> None:
    D = load_discriminator(ckpt)
    assert D.resolution == 8
    assert not D.training
    assert not any(parameter.requires_grad for parameter in D.parameters())
