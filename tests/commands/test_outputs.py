"""What all verbs share: where they write is looked at before any work, and long work is seen."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import TINY, RunCLI, words

NOWHERE = "--ckpt nowhere.ckpt"
# Their sources do not exist: who looks at the target first tells of the target.
FILES = {
    "evaluate": (f"{NOWHERE} --out", ".json"),
    "neighbors": (f"{NOWHERE} --out", ".png"),
    "interpolate": (f"{NOWHERE} --out", ".png"),
    "video": (f"{NOWHERE} --out", ".gif"),
    "project": (f"{NOWHERE} --out", ".png"),
    "mix": (f"{NOWHERE} --out", ".png"),
    "directions": (f"{NOWHERE} --out", ".png"),
    "spectra": (f"{NOWHERE} --out", ".png"),
    "tsne": (f"{NOWHERE} --out", ".png"),
    "samples": (f"{NOWHERE} --out", ".png"),
    "attention": (f"{NOWHERE} --out", ".png"),
    "generate": (f"{NOWHERE} --out", ".zip"),
    "export": (f"{NOWHERE} --out", ".safetensors"),
    "import": ("nowhere.pkl --out", ".safetensors"),
    "compare": ("nowhere --out", ".html"),
    "inspect": ("nowhere --json", ".json"),
    "complexity": ("--data Nowhere --json", ".json"),
}
FOLDERS = {
    "generate": f"{NOWHERE} --out",
    "attention": f"{NOWHERE} --out",
    "inspect": "nowhere --out",
    "prepare": "nowhere",
    "explore": f"--port 0 {NOWHERE} --out",
}


@pytest.mark.parametrize("verb", FILES)
def test_a_file_that_cannot_be_written_is_told_before_anything_else(verb: str, run_cli: RunCLI) -> None:
    Path("file").touch()
    given, ending = FILES[verb]
    folder = Path(f"folder{ending}")
    folder.mkdir()
    assert f"'{folder}' is a folder: name the file to write" in run_cli.fails(verb, *words(given), folder)
    error = run_cli.fails(verb, *words(given), f"file/below/out{ending}")
    assert f"'file/below/out{ending}' cannot be written: 'file' is no folder" in error
    if verb != "generate":  # to which another name is that of a folder
        error = run_cli.fails(verb, *words(given), "out.tar")
        assert "'out.tar' has an unknown ending" in error
        assert ending in error
    # No rights are missing for some users, who all the same cannot write there
    assert "cannot be written: '/proc' takes no such file (" in run_cli.fails(verb, *words(given), f"/proc/o{ending}")
    long = "a" * (250 - len(ending)) + ending  # for the name that it has while it is made
    assert "takes no such file (File name too long)" in run_cli.fails(verb, *words(given), long)
    assert sorted(Path().iterdir()) == [Path("file"), folder]


@pytest.mark.parametrize("verb", FOLDERS)
def test_a_folder_that_cannot_be_made_is_told_before_anything_else(verb: str, run_cli: RunCLI) -> None:
    Path("file").touch()
    assert "'file' is a file: name a folder" in run_cli.fails(verb, *words(FOLDERS[verb]), "file")
    error = run_cli.fails(verb, *words(FOLDERS[verb]), "file/below")
    assert "'file/below' cannot be written: 'file' is no folder" in error
    assert "'/proc/out' cannot be written: '/proc' takes no" in run_cli.fails(verb, *words(FOLDERS[verb]), "/proc/out")


@pytest.mark.parametrize(("verb", "beside"), [("tsne", "out.json"), ("interpolate", "out.gif")])
def test_files_beside_the_figure_are_looked_at_too(verb: str, beside: str, run_cli: RunCLI) -> None:
    Path(beside).mkdir()
    error = run_cli.fails(verb, *words(NOWHERE), "--out", "out.png")
    assert f"'out.png' writes '{beside}' too, which is a folder" in error


def test_predictions_are_refused_a_place_that_is_none(run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
    Path("file").touch()
    config = finished_run() / "config.yaml"
    error = run_cli.fails("predict", "--config", config, "--predictions.out", "file", "--predictions.num", 2)
    assert "predictions.out 'file' is a file" in error


@pytest.mark.parametrize(
    "given",
    [
        "neighbors --seeds 0-40",
        "neighbors --k 0",
        "interpolate --steps 1",
        "interpolate --space w --linear",
        "interpolate --threshold=-1",
        "project --num 0",
        "tsne --seed 4096",
    ],
)
def test_cheap_mistakes_are_told_before_a_checkpoint_is_read(given: str, run_cli: RunCLI) -> None:
    verb, *others = given.split()
    error = run_cli.fails(verb, *words(NOWHERE), "--out", "out.png", *others)
    assert "nowhere.ckpt" not in error
    assert others[-1].partition("=")[0].strip("-").replace("0-40", "seeds") in error


@pytest.mark.parametrize("broken", ["noise", "discriminator"])
def test_all_checkpoints_are_looked_at_before_the_first_is_worked_on(
    broken: str, run_cli: RunCLI, checkpoint: Callable[..., Path]
) -> None:
    shutil.copy(checkpoint(), "first.ckpt")
    photos()
    if broken == "noise":
        checkpoint(noise=False)
        given = words("project --noise --steps 1 --num 1 --data photos --out out.png --ckpt first.ckpt made.ckpt")
    else:
        run_cli.succeeds("export", "--ckpt", "first.ckpt", "--out", "made.safetensors")
        given = words("tsne --num 4 --points 4 --perplexity 2 --data photos --out out.png")
        given += words("--ckpt first.ckpt made.safetensors")
    outcome = run_cli(*given)
    assert outcome.code == 2
    assert broken in outcome.err
    assert "first: " not in outcome.out


def photos() -> None:
    Path("photos").mkdir()
    for number in range(6):
        Image.effect_noise((8, 8), 50 + number).convert("RGB").save(f"photos/{number}.png")


LONG = {
    "evaluate": ("Evaluating", "--num_fake 8 --extractor efficientnet_lite0 --metrics fid --data photos --out a.json"),
    "neighbors": ("Searching", "--space pixel --k 1 --data photos --out a.png"),
    "project": ("Projecting", "--num 1 --steps 2 --data photos --out a.png"),
    "tsne": ("Looking", "--num 4 --points 4 --perplexity 2 --data photos --out a.png"),
    "interpolate": ("Walking", "--frames 3 --out a.png"),
    "video": ("Filming", "--seeds 0,1 --seconds 0.1 --out a.gif"),
    "samples": ("Generating", "--rows 1 --columns 2 --out a.png"),
    "generate": ("Generating", "--seeds 0-3 --out made"),
    "inspect": ("Inspecting", "photos --out a.png"),
    "prepare": ("Packing", "photos packed --resolution 8"),
}


@pytest.mark.parametrize("verb", LONG)
def test_long_work_shows_a_bar_on_a_terminal_and_nothing_elsewhere(
    verb: str, run_cli: RunCLI, checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos()
    title, given = LONG[verb]
    ckpt = () if verb in ("inspect", "prepare") else ("--ckpt", checkpoint())
    outcome = run_cli(verb, *words(given), *ckpt)
    assert outcome.code == 0, outcome.err
    assert title not in outcome.err
    for made in ("packed", "made"):  # neither is written over
        shutil.rmtree(made, ignore_errors=True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert f"\r{title}" in run_cli(verb, *words(given), *ckpt).err


def test_a_training_says_at_once_what_it_reads_and_measures(run_cli: RunCLI) -> None:
    out = run_cli.succeeds("fit", *TINY)
    assert out.startswith("Reading the images (SyntheticCLEVR)\n")
    assert out.index("Quality: 8 generated against 16 real images") < out.index("0 kimg: ") < out.index("Training: ")


@pytest.mark.parametrize("given", ["inspect photos --out sheet.xyz", "attention --ckpt nowhere --out maps.xyz"])
def test_an_unknown_ending_is_no_name_of_a_folder(given: str, run_cli: RunCLI, in_empty_folder: Path) -> None:
    error = run_cli.fails(*words(given))
    assert "has an unknown ending: figures are .png; give such a file or a folder" in error
    assert list(Path().iterdir()) == []
