"""Options that every verb understands alike, and mistakes in them."""

import inspect
from collections.abc import Callable
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import get_args

import pytest

from dualgan.cli.main import COMMANDS
from dualgan.commands.shared import verbs
from dualgan.metrics.weights import WEIGHTS
from tests.conftest import TINY, RunCLI, words

CKPT = {
    "generate": "--seeds 0 --out images",
    "samples": "--rows 1 --columns 2 --out sheet.png",
    "attention": "--out maps.png",
    "evaluate": "--metrics kid --num_fake 8 --num_real 8 --extractor efficientnet_lite0 --out scores.json",
    "neighbors": "--seeds 0 --k 1 --space pixel --out near.png",
    "interpolate": "--seeds 0,1 --steps 2 --frames 2 --out walk.png",
    "video": "--seeds 0,1 --seconds 0.1 --out film.gif",
    "mix": "--rows 0 --cols 1 --out mixed.png",
    "directions": "--num 2 --seeds 0 --steps 3 --out ways.png",
    "spectra": "--num 8 --out spectra.png",
    "project": "--num 1 --steps 1 --out drawn.png",
    "tsne": "--num 16 --points 8 --perplexity 2 --out plane.png",
    "export": "--out out.safetensors",
}


def takes_ckpt(verb: str) -> bool:
    module = import_module(f"dualgan.commands.{verb}{'_' * iskeyword(verb)}")
    return "ckpt" in inspect.signature(module.run).parameters


def test_every_verb_with_ckpt_is_here() -> None:
    serves = {"explore"}  # until it is stopped: tests/explore/test_page.py
    assert set(CKPT) | serves == {verb for verb in COMMANDS if takes_ckpt(verb)}


@pytest.mark.parametrize("verb", CKPT)
def test_the_folder_of_a_run_stands_for_its_last_checkpoint(
    verb: str, run_cli: RunCLI, finished_run: Callable[[], Path]
) -> None:
    run = finished_run()
    outcome = run_cli(verb, "--ckpt", run, *words(CKPT[verb]))
    assert f"Taking {run}/checkpoints/last.ckpt" in outcome.out
    if verb == "attention":  # the run's generator has none
        assert "attention" in outcome.err
    else:
        assert outcome.code == 0, outcome.err


def test_trainer_verbs_take_the_folder_too(run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
    said = run_cli.succeeds("validate", *TINY, "--ckpt_path", finished_run(), "--run_dir", "other")
    assert f"Taking {finished_run()}/checkpoints/last.ckpt" in said


@pytest.mark.parametrize("verb", ["generate", "evaluate"])
def test_a_folder_without_checkpoints_is_named(verb: str, run_cli: RunCLI) -> None:
    Path("empty").mkdir()
    error = run_cli.fails(verb, "--ckpt", "empty", *words(CKPT[verb]))
    assert "empty is a folder without checkpoints/last.ckpt" in error


DRAWING = ("generate", "samples", "mix", "video", "interpolate", "directions")  # explore has controls: test_page.py


@pytest.mark.parametrize("verb", DRAWING)
def test_all_that_draw_truncate_and_choose_classes_alike(verb: str) -> None:
    options = inspect.signature(import_module(f"dualgan.commands.{verb}").run).parameters
    assert options["truncation_cutoff"].annotation == int | None
    assert options["label"].annotation == str | None
    several = verb in ("samples", "video")  # of them each gives a row, or a place of the film
    assert options["truncation_psi"].annotation == (list[float] | None if several else float)
    assert options["truncation_psi"].default == (None if several else 1.0)
    noisy = verb in ("generate", "samples")  # images alone: the others show what a change does, which noise would hide
    assert ("noise_mode" in options) == noisy
    if noisy:
        assert options["noise_mode"].default == "const"
        assert get_args(options["noise_mode"].annotation) == ("const", "random", "none")


@pytest.mark.parametrize("verb", DRAWING)
def test_a_cutoff_needs_a_truncation_and_a_layer(verb: str, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    given = (verb, "--ckpt", checkpoint(), *words(CKPT[verb]), "--truncation_cutoff")
    assert "truncation_cutoff 2 has no effect without truncation_psi" in run_cli.fails(*given, 2)
    assert "truncation_cutoff 99 is out of range" in run_cli.fails(*given, 99, "--truncation_psi", 0.5)
    run_cli.succeeds(*given, 1, "--truncation_psi", 0.5)


SHORT = {
    "evaluate --num 500": ["--num_fake", "--num_real"],
    "evaluate --extractor_weight x": ["--extractor_weights"],
    "generate --psi 1": ["--truncation_psi"],
    "generate --trunc 1": ["--truncation_psi"],
    "generate --batch 1": ["--batch_size"],
    "samples --truncation 1": ["--truncation_psi"],
    "interpolate --thresh 1": ["--threshold"],
    "neighbors --extract x": ["--extractor"],
    "project --step 1": ["--steps"],
    "tsne --perp 1": ["--perplexity"],
    "attention --pos 1": ["--positions"],
    "export --batch 1": ["--batch_size"],
    "inspect x --near 1": ["--near_distance"],
    "prepare a b --res 1": ["--resolution"],
    "compare --size 1": ["--picture_size"],
    "dashboard --proj x": ["--project"],
    "fit --total_kimg 1": ["--model.total_kimg"],
    "fit --num_fake 1": ["--quality.num_fake"],
    "fit --quality.num 1": ["--quality.num_fake", "--quality.num_real"],
    "fit --data SyntheticCLEVR --data.work 1": ["--data.num_workers"],
    "fit --model.generator StyleGAN2Generator --model.generator.chann 1": ["--model.generator.channel_base"],
    "complexity --trainer.max_st 1": ["--trainer.max_steps"],
}


@pytest.mark.parametrize("given", SHORT)
def test_shortened_options_are_completed_in_the_error(given: str, run_cli: RunCLI) -> None:
    error = run_cli.fails(*words(given))
    assert "unknown option" in error
    assert all(option in error.partition("did you mean")[2] for option in SHORT[given]), error


SECTIONS = ("quality", "samples", "checkpoints", "predictions", "wandb", "model", "trainer")


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_no_value(section: str, run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", *TINY, f"--{section}", "null")
    assert f"{section} 'null'" in error
    assert f"--{section}.NAME VALUE" in error
    Path("mine.yaml").write_text(f"{section}: null\n")
    error = run_cli.fails("fit", *TINY, "--config", "mine.yaml")
    assert f"mine.yaml: {section} is a section of settings, and null is none" in error


READS_YAML = {
    "fit": ["fit", *TINY, "--config"],
    "validate": ["validate", *TINY, "--config"],
    "complexity": ["complexity", "--config"],
    "evaluate": ["evaluate", "--fake", "images", "--data"],
    "neighbors": ["neighbors", "--out", "x.png", "--ckpt", "CKPT", "--data"],
}
SAID_TWICE = "model:\n  total_kimg: 1\n  loss: Hinge\ndata: {class_path: SyntheticCLEVR}\nmodel:\n  total_kimg: 2\n"
BROKEN = {
    "": "mine.yaml is empty",
    "# a note\n": "mine.yaml is empty",
    "- 1\n": "mine.yaml is not a configuration: expected sections such as 'model:' and 'data:', found a list",
    SAID_TWICE: "'model' stands twice in one section, in lines 1 and 5",
    "data:\n  init_args:\n    root: a\n    root: b\n": "'root' stands twice in one section, in lines 3 and 4",
    "data: {root: a, root: b}\n": "'root' stands twice in one section, both in line 1",
    "model: [1": "mine.yaml",
}


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("verb", READS_YAML)
def test_broken_configurations_are_refused_by_name(
    verb: str, text: str, run_cli: RunCLI, checkpoint: Callable[..., Path], photographs: Path
) -> None:
    Path("images").mkdir()
    (Path("images") / "0.png").write_bytes(one_png())
    Path("mine.yaml").write_text(text)
    given = [str(checkpoint()) if word == "CKPT" else word for word in READS_YAML[verb]]
    error = run_cli.fails(*given, "mine.yaml")
    assert BROKEN[text] in error
    assert "mine.yaml" in error


def one_png() -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("explore --port abc", "port: Expected a whole number. Got value: abc."),
        ("video --easing bouncy", "easing: Expected one of linear, smooth, smoother. Given value: bouncy."),
        ("fit --data ImageFolder --data.root x --data.mirror 3", "mirror: Expected true or false. Got value: 3."),
        ("fit --data ImageFolder --data.root x --data.subset half", "subset: Expected a whole number or a number."),
    ],
)
def test_types_are_said_in_words(given: str, message: str, run_cli: RunCLI) -> None:
    assert message in run_cli.fails(*words(given))


def test_equal_texts_in_different_sections_are_no_repetition(run_cli: RunCLI) -> None:
    from dualgan.files.yaml_text import load_yaml

    assert load_yaml('a: {x: a, y: a}\nb: [{x: 1}, {x: 2}, a, a]\n1: a\n"1": b\n') == {
        "a": {"x": "a", "y": "a"},
        "b": [{"x": 1}, {"x": 2}, "a", "a"],
        1: "a",
        "1": "b",
    }


NAMES_WEIGHTS = {
    "project": ("--num 1 --steps 1 --out x.png --weights nowhere.pth", "--weights PATH"),
    "neighbors": ("--seeds 0 --k 1 --out x.png --extractor vgg16", "--weights PATH"),
    "evaluate": ("--metrics kid --num_fake 8 --num_real 8 --extractor vgg16", "--extractor_weights PATH"),
}


@pytest.mark.parametrize("verb", NAMES_WEIGHTS)
def test_messages_about_weights_name_the_options_of_their_command(
    verb: str, run_cli: RunCLI, finished_run: Callable[[], Path]
) -> None:
    given, option = NAMES_WEIGHTS[verb]
    error = run_cli.fails(verb, "--ckpt", finished_run() / "checkpoints" / "last.ckpt", *words(given))
    assert f"name the file with {option}" in error
    for other in {"--weights PATH", "--extractor_weights PATH", "--quality.weights PATH"} - {option}:
        assert other not in error
    parameter = option.partition(" ")[0].lstrip("-")
    assert parameter in inspect.signature(import_module(f"dualgan.commands.{verb}").run).parameters


def test_the_distance_of_project_speaks_of_no_other_command(
    run_cli: RunCLI, finished_run: Callable[[], Path], caplog: pytest.LogCaptureFixture
) -> None:
    given = words("--num 1 --steps 1 --out x.png")
    run_cli.succeeds("project", "--ckpt", finished_run() / "checkpoints" / "last.ckpt", *given)
    assert "--weights PATH" in caplog.text
    for foreign in ("ppl", "--quality.weights", "--extractor_weights"):
        assert foreign not in caplog.text


def test_weights_that_no_option_names_have_none_in_their_message() -> None:
    from dualgan.metrics.weights import named_by

    with named_by(None):
        assert "name the file" not in WEIGHTS["vgg16"].how_to_get
    assert "name the file with weights=PATH" in WEIGHTS["vgg16"].how_to_get
    assert "ckpt" in verbs.USUAL


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model: [1]", "mine.yaml: model is a section of settings, and a list is none"),
        ("data: 3", "mine.yaml: data is a section of settings, and a int is none"),
        ("1: 2", "mine.yaml: 1 stands where the name of a setting is expected"),
        ("model:\n  1: 2", "mine.yaml: 1 stands where the name of a setting is expected"),
        ("model:\n  generator:", "model.generator is null: name a class with its settings, or leave it out"),
        ("model:\n  discriminator: null", "model.discriminator is null: name a class"),
        ("model:\n  total_kimg: abc", "mine.yaml: model.total_kimg"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_file_and_place(content: str, message: str, run_cli: RunCLI) -> None:
    Path("mine.yaml").write_text(content)
    assert message in run_cli.fails("fit", "--config", "clevr_demo.yaml", "--config", "mine.yaml")
