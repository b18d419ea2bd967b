"""Classes from the folders of a data set to the pictures, checkpoints and exports of its run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualgan import load_generator
from dualgan.callbacks import SampleGrid
from dualgan.evaluation.images import GeneratedImages
from dualgan.networks import StyleGAN2Generator
from dualgan.networks.sampling import drawn_classes, generate
from dualgan.pictures.pixels import to_uint8
from dualgan.studies.interpolate import interpolate
from dualgan.studies.samples import truncation_sheet
from dualgan.weights.checkpoints import read_checkpoint
from tests.conftest import NETWORKS, RunCLI, words
from tests.tiny import tiny_gan

SIZES = {"cat": 5, "dog": 4, "emu": 3}
OF_FOLDERS = words("--data ImageFolder --data.use_labels true --data.resolution 8 --data.batch_size 8")
SHORT = (*NETWORKS, *OF_FOLDERS, "--data.num_workers", "0", "--model.total_kimg", "0.016")


def save_animals(root: Path) -> None:
    draw = np.random.default_rng(0)
    for name, count in SIZES.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(root / name / f"{k}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[RunCLI], Path]:
    """Folder of a run on three classes, trained at the first call, with what it printed in printed.txt."""
    run = tmp_path_factory.mktemp("classes") / "run"

    def train(run_cli: RunCLI) -> Path:
        if not run.exists():
            save_animals(run.parent / "animals")
            columns = ("--samples.rows", "2", "--samples.columns", "4")
            data = ("--data.root", run.parent / "animals")
            printed = run_cli.succeeds("fit", *SHORT, *data, *columns, "--run_dir", run)
            (run / "printed.txt").write_text(printed)
        return run

    return train


def test_the_run_lists_its_classes_and_shows_a_row_for_each(run_cli: RunCLI, trained: Callable[[RunCLI], Path]) -> None:
    run = trained(run_cli)
    printed = (run / "printed.txt").read_text()
    assert "Conditional: 3 classes with images, cat (5), dog (4), emu (3)" in printed
    assert "Sample grids show the first 2 of 3 classes, a row for each (--samples.rows)." in printed
    with Image.open(run / "samples" / "kimg_00000.016.png") as picture:
        assert picture.size == (4 * 8, 2 * 8)
    with Image.open(run / "samples" / "real.png") as picture:
        real = np.asarray(picture)
    with Image.open(run.parent / "animals" / "dog" / "2.png") as dog:
        assert (real[8:, 16:24] == np.asarray(dog)).all()


def test_checkpoints_and_exports_keep_the_names(run_cli: RunCLI, trained: Callable[[RunCLI], Path]) -> None:
    checkpoint = trained(run_cli) / "checkpoints" / "last.ckpt"
    assert read_checkpoint(checkpoint)["dualgan"]["classes"] == [[name, count] for name, count in SIZES.items()]
    run_cli.succeeds("export", "--ckpt", checkpoint, "--out", "made.safetensors")
    assert load_generator("made.safetensors").classes == load_generator(checkpoint).classes
    for file, out in ((checkpoint, "of run"), ("made.safetensors", "of export")):
        run_cli.succeeds(
            "generate", "--ckpt", file, "--seeds", 1, "--label", "emu", "--truncation_psi", 0, "--out", out
        )
    assert Path("of run/seed000001.png").read_bytes() == Path("of export/seed000001.png").read_bytes()


def test_a_run_goes_on_with_its_own_classes_alone(run_cli: RunCLI, trained: Callable[[RunCLI], Path]) -> None:
    run = trained(run_cli)
    shutil.copytree(run.parent / "animals", "animals")
    on = (*SHORT, "--data.root", "animals", "--model.total_kimg", "0.024", "--run_dir", "on")
    checkpoint = run / "checkpoints" / "last.ckpt"
    run_cli.succeeds("fit", *on, "--ckpt_path", checkpoint)
    shutil.rmtree("on")
    Path("animals/dog").rename("animals/cow")
    error = run_cli.fails("fit", *on, "--ckpt_path", checkpoint)
    assert "class 1 of the checkpoint is 'dog', and that of the data 'cow'" in error
    shutil.rmtree("animals/cow")
    error = run_cli.fails("fit", *on, "--data.batch_size", 4, "--ckpt_path", checkpoint)
    assert "the checkpoint has 3 classes, and the data 2" in error


def test_networks_that_get_other_classes_are_started_from_with_a_word(
    run_cli: RunCLI, trained: Callable[[RunCLI], Path]
) -> None:
    run = trained(run_cli)
    shutil.copytree(run.parent / "animals", "animals")
    Path("animals/dog").rename("animals/fox")  # behind emu: two classes have other numbers
    start = (*SHORT, "--data.root", "animals", "--init_from", run / "checkpoints" / "last.ckpt", "--run_dir", "anew")
    with pytest.warns(UserWarning, match="trained on other classes: class 1 was 'dog' and is 'emu'"):
        run_cli.succeeds("fit", *start)
    assert [one.name for one in load_generator("anew/checkpoints/last.ckpt").classes] == ["cat", "emu", "fox"]


def test_an_older_run_whose_classes_have_gaps_is_refused_with_what_to_do(run_cli: RunCLI, format_3: Path) -> None:
    save_animals(Path("animals"))
    shutil.rmtree("animals/emu")
    longer = words("--data.root animals --run_dir on --model.total_kimg 0.024")
    error = run_cli.fails("fit", *SHORT, *longer, "--ckpt_path", format_3)
    assert "the checkpoint has 3 classes, and the data 2" in error
    assert "dualgan 0.2.0 numbered classes up to the largest label" in error


@pytest.mark.filterwarnings("ignore:resuming under other conditions")
def test_an_older_run_without_gaps_goes_on_and_gets_names(run_cli: RunCLI, format_3: Path) -> None:
    save_animals(Path("animals"))
    small = "--model.{0}.channel_base 16 --model.{0}.channel_max 4 "
    same = words(
        small.format("generator") + small.format("discriminator") + "--model.generator.z_dim 4 "
        "--model.generator.w_dim 4 --model.generator.mapping_layers 1 --model.total_kimg 0.024"
    )
    with pytest.warns(UserWarning, match="corrects the mean w of a new run"):
        run_cli.succeeds("fit", *SHORT, *same, "--data.root", "animals", "--run_dir", "on", "--ckpt_path", format_3)
    assert [name for name, _ in read_checkpoint("on/checkpoints/last.ckpt")["dualgan"]["classes"]] == list(SIZES)


def test_nothing_is_left_of_a_latent_but_its_class_wherever_images_are_made() -> None:
    gan = tiny_gan(num_classes=2)
    G = gan.generator_ema
    assert isinstance(G, StyleGAN2Generator)
    for name in ("w_avg", "w_shift_of_class"):
        G.mapping.get_buffer(name).normal_()
    evaluated = GeneratedImages(G, 32, truncation_psi=0, label_counts=torch.ones(2))
    classes = drawn_classes(G, evaluated.seeds, torch.ones(2))
    assert classes is not None
    places: dict[str, Callable[[int], np.ndarray]] = {
        "generate": lambda k: next(generate(G, [k], labels=torch.tensor([k]), truncation_psi=0))[0].numpy(),
        "sample grid": lambda k: SampleGrid(columns=1, truncation_psi=0).picture(gan)[8 * k : 8 * k + 8],
        "sheet": lambda k: truncation_sheet(G, [0.0], 1, seed=k, label=k)[4::8, -60::8],
        "interpolate": lambda k: interpolate(G, [0, 1], 2, label=k, truncation_psi=0).images[0, k],
        "evaluate": lambda k: next(evaluated.batches([range(32)]))[classes == k][3].numpy(),
    }
    ws = G.mapping.mean_w(torch.arange(2))[:, None].expand(-1, G.num_ws, -1)
    expected = to_uint8(G.synthesis(ws, noise_mode="const")).numpy().astype(int)
    assert np.abs(expected[0] - expected[1]).max() > 5
    for place, image in places.items():
        for k in range(2):
            assert np.abs(image(k).astype(int) - expected[k]).max() <= 1, place
