"""Bad input: one paragraph on stderr, exit code 2, before any training."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dualgan.terminal.messages import ParagraphParser
from tests.conftest import NETWORKS, TINY, RunCLI, words

REFUSED = {
    "--model.loss DualContrastve": ["DualContrastve", "DualContrastive", "Hinge", "NonSaturating", "Wasserstein"],
    "--data ImageFoldr": ["ImageFoldr", "ImageFolder", "SyntheticCLEVR"],
    "--model.generator StyleGAN3Generator": ["StyleGAN3Generator", "StyleGAN2Generator"],
    "--model.discriminator StyleGAN2Generator": ["StyleGAN2Generator", "StyleGAN2Discriminator"],
    "--model.lerning_rate 0.1": ["model.lerning_rate", "--model.learning_rate"],
    "--trainer.max_step 3": ["trainer.max_step", "--trainer.max_steps"],
    "--data.num_imags 3": ["data.num_imags", "--data.num_images"],
    "--model.loss DualContrastive --model.loss.generator_form fast": ["generator_form", "fast", "swapped", "minimax"],
    "--model.learning_rate fast": ["model.learning_rate", "fast", "a number or one of Cosine, Linear"],
    "--model.r1_gamma Cosin": ["model.r1_gamma", "Cosin", "Cosine, Linear"],
    "--model.augmentation ADAA": ["model.augmentation", "ADAA"],
    "--model.discriminator_adam.learning_rat 1": ["learning_rat", "discriminator_adam.learning_rate"],
    "--model.ema_decay 0.999 --model.ema_kimg 5": ["ema_decay 0.999", "ema_kimg", "leave them out"],
    "--model.betas [1.5,0.9]": ["betas 1.5 (number 0)", "0 to below 1"],
    "--model.ema_kimg Linear --model.ema_kimg.start -1 --model.ema_kimg.end 1 --model.ema_kimg.kimg 1": [
        "ema_kimg.start -1"
    ],
    "--model.ema_start_kimg 99": ["ema_start_kimg 99", "total_kimg"],
    "--model.auxiliary+ Nonsense": ["model.auxiliary", "Nonsense"],
    "--model.fake_labels uniform": ["fake_labels", "uniform", "dataset", "batch"],
    "--data.num_images many": ["num_images", "many", "a whole number"],
    "--wandb.mode sometimes": ["wandb.mode", "sometimes", "offline"],
    "--config nowhere.yaml": ["nowhere.yaml", "clevr_demo.yaml", "church_contr.yaml"],
    "--data.resolution 12": ["resolution 12", "power of two", "8, 16"],
    "--data.resolution 4": ["resolution 4", "8 to 1024"],
    "--data.batch_size 6 --model.micro_batch 4": ["batch_size 6", "micro_batch 4", "multiple of 4"],
    "--data.batch_size 64": ["batch_size 64", "16 images"],
    "--data ImageFolder --data.root nowhere --data.hint GetItHere": ["nowhere", "GetItHere"],
    "--data ImageFolder": ["data.root"],
    "--data.root images": ["data.root", "the chosen class has none", "ImageFolder", "--data NAME"],
    "--data.num_channels 1": ["unknown option 'data.num_channels'", "'--help' lists every option"],
    "--model.generator.num_classes 10": ["model.generator.num_classes", "from the data", "--data.use_labels true"],
    "--model.discriminator.num_channels 1": ["model.discriminator.num_channels", "from the data"],
    "--data.subset 1.0": ["subset 1", "leave it out for all images"],
    "--ckpt_path nowhere.ckpt": ["nowhere.ckpt", "--ckpt_path"],
    "--ckpt_path last": ["last.ckpt", "--run_dir"],
    "--trainer.precision 16-mixed": ["16-mixed", "bf16-mixed", "32-true"],
    "--trainer.accumulate_grad_batches 2": ["accumulate_grad_batches 2", "--model.micro_batch"],
    "--trainer.max_epochs 3": ["max_epochs 3", "--model.total_kimg"],
    "--trainer.log_every_n_steps 0": ["log_every_n_steps 0", "1 or more"],
    "--model.micro_batch 2": ["micro_batch 2", "groups of 4", "minibatch_std_group"],
    "--model.discriminator.minibatch_std_group 0": ["minibatch_std_group 0", "1 or more"],
    "--model.generator.mapping_layers 0": ["mapping_layers 0", "1 or more"],
    "--model.generator.z_dim 0": ["z_dim 0", "1 or more"],
    "--trainer.gradient_clip_val 1": ["gradient_clip_val 1", "r1_gamma"],
    "--trainer.devices 0": ["devices"],
    "--checkpoints.every_kimg 0": ["checkpoints.every_kimg 0", "positive"],
    "--quality.every_kimg 0": ["quality.every_kimg 0", "positive"],
    "--samples.every_kimg -1": ["samples.every_kimg -1", "positive"],
    "--samples.rows 0": ["samples.rows 0"],
    "--quality.num_real 1": ["quality.num_real 1"],
    "--quality.num_fake 1": ["quality.num_fake 1"],
    "--quality.weights nowhere.pth": ["nowhere.pth", "--quality.weights"],
    "--model.warmup_kimg 3": ["warmup_kimg 3", "NonSaturating", "DualContrastive"],
    "--seed_everything -3": ["-3"],
    "--seed_everything false": ["seed_everything", "number"],
    "--data.subset 100": ["subset 100", "16"],
    "--data.subset 1.5": ["subset 1.5", "fraction"],
    "--data.reference nowhere": ["reference", "nowhere", "'full' or 'train'"],
    "--data LSUN --data.category cow": ["cow", "http://dl.yf.io/lsun", "data/lsun", "Licence"],
    "--data CIFAR10 --data.root nowhere": ["nowhere", "cifar-10-python.tar.gz", "cs.toronto.edu", "Licence"],
    "--data FewShot --data.name obamas": ["obamas", "grumpy_cat"],
    "more": ["more"],
}


@pytest.mark.parametrize("given", REFUSED)
def test_refused_with_what_was_given_and_what_is_expected(given: str, run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", *TINY, *words(given))
    for text in REFUSED[given]:
        assert text in error
    assert len(error) < 700
    for noise in ("<class", "NoneType", "Union", "Namespace", "NestedArg", "Parser key"):
        assert noise not in error


def test_another_wording_of_the_library_passes_through() -> None:
    parser = ParagraphParser()
    parser.add_argument("--seeds", type=int)
    text = """Trouble with "seeds":\n  none of two\n    - no <class 'NoneType'>\n    - no <class 'int'>\n  It is: x"""
    said = parser.mistake(text, TypeError(text))
    assert str(said).startswith("seeds: no int. It is: x.")
    assert said.option == "seeds"
    assert str(parser.mistake("What\n is --this?", TypeError())) == "What is --this?"


@pytest.mark.parametrize("given", ["--seed 3", "--seed=3"])
def test_unknown_option_of_a_command_suggests_one(given: str, run_cli: RunCLI) -> None:
    assert "unknown option 'seed': did you mean --seeds?" in run_cli.fails("generate", *words(given))


def test_missing_options_of_a_command_are_named(run_cli: RunCLI) -> None:
    error = run_cli.fails("generate", "--seeds", "1")
    assert "--ckpt" in error
    assert "--out" in error


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("VT --model.generator.attention.token 3", ["attention.token'", "--model.generator.attention.tokens"]),
        ("SANN", ["model.generator", "attention", "'SANN'", "SAGAN, SAN, VT"]),
        ("VT --model.generator.attention.tokens few", ["model.generator", "tokens", "few", "a whole number"]),
    ],
)
def test_mistakes_two_classes_deep(given: str, expected: list[str], run_cli: RunCLI) -> None:
    error = run_cli.fails(
        "fit", *TINY, *words(f"--model.generator.attention_resolution 8 --model.generator.attention {given}")
    )
    assert all(text in error for text in expected), error


def test_unknown_verb_names_the_verbs(run_cli: RunCLI) -> None:
    error = run_cli.fails("train")
    assert all(verb in error for verb in ("fit", "validate", "test", "predict", "generate"))


def test_missing_data_names_both_ways_to_get_some(run_cli: RunCLI) -> None:
    error = run_cli.fails("fit")
    assert "clevr_demo.yaml" in error
    assert "--data.root" in error


@pytest.mark.parametrize("text", ["model: [1", "modle: {loss: Hinge}", "model: {lerning_rate: 1}", "- 1"])
def test_broken_configuration(text: str, run_cli: RunCLI, in_empty_folder: Path) -> None:
    (in_empty_folder / "mine.yaml").write_text(text)
    assert "mine.yaml" in run_cli.fails("fit", "--config", "mine.yaml", *TINY)


def test_the_file_that_holds_the_mistake_is_named(run_cli: RunCLI, in_empty_folder: Path) -> None:
    (in_empty_folder / "right.yaml").write_text("model: {total_kimg: 1}\ndata: {init_args: {num_images: 16}}")
    (in_empty_folder / "wrong.yaml").write_text("modle: {total_kimg: 1}")
    assert "wrong.yaml: unknown option" in run_cli.fails(
        "fit", *TINY, "--config", "right.yaml", "--config", "wrong.yaml"
    )
    said = run_cli.fails("fit", "--config", "right.yaml", *TINY, "--data.num_images", "1e3")
    assert "right.yaml" not in said


def test_a_run_folder_that_cannot_be_made_is_named(run_cli: RunCLI, in_empty_folder: Path) -> None:
    (in_empty_folder / "file").touch()
    error = run_cli.fails("fit", *TINY, "--run_dir", "file/run")
    assert "run_dir 'file/run' cannot be written: 'file' is no folder" in error
    assert "run_dir 'file' is a file" in run_cli.fails("fit", *TINY, "--run_dir", "file")


def test_unknown_argument_inside_a_configuration_is_named(run_cli: RunCLI, in_empty_folder: Path) -> None:
    (in_empty_folder / "mine.yaml").write_text("data: {class_path: ImageFolder, init_args: {rooot: x}}")
    error = run_cli.fails("fit", "--config", "mine.yaml")
    assert "data.rooot" in error
    assert "--data.root" in error


class TestImages:
    FOLDER = (*NETWORKS, *words("--data ImageFolder --data.root images --data.resolution 8 --data.batch_size 2"))

    @staticmethod
    def save(folder: Path, *modes: str) -> None:
        (folder / "images").mkdir()
        for number, mode in enumerate(modes):
            Image.new(mode, (9, 12)).save(folder / "images" / f"{number}.png")

    def test_folder_without_images(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        self.save(in_empty_folder)
        assert "'images' holds no images" in run_cli.fails("fit", *self.FOLDER)

    def test_undecodable_images_are_named_and_counted(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        self.save(in_empty_folder, "RGB", "RGB", "RGB")
        for number in (0, 2):
            (in_empty_folder / "images" / f"{number}.png").write_bytes(b"no picture")
        error = run_cli.fails("fit", *self.FOLDER)
        assert "2 images that cannot be decoded" in error
        assert "'0.png'" in error
        assert "skip_bad_images" in error

    def test_gray_and_colour_together(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        self.save(in_empty_folder, "RGB", "L")
        error = run_cli.fails("fit", *self.FOLDER)
        assert "1 gray" in error
        assert "num_channels=3" in error


class TestCheckpoints:
    def test_of_other_shapes(self, run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
        path = finished_run() / "checkpoints" / "last.ckpt"
        other = ("--model.generator.w_dim", 32, "--model.total_kimg", 1)
        error = run_cli.fails("fit", *TINY, *other, "--ckpt_path", path)
        assert "does not fit" in error
        assert "config.yaml" in error

    def test_cut_off(self, run_cli: RunCLI, finished_run: Callable[[], Path], in_empty_folder: Path) -> None:
        content = (finished_run() / "checkpoints" / "last.ckpt").read_bytes()
        (in_empty_folder / "cut.ckpt").write_bytes(content[: len(content) // 2])
        assert "cut.ckpt" in run_cli.fails("fit", *TINY, "--ckpt_path", "cut.ckpt")

    def test_folder_that_holds_a_run(self, run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
        error = run_cli.fails("fit", *TINY, "--run_dir", finished_run())
        assert "already holds a run" in error
        assert "--ckpt_path last" in error

    def test_auto_never_trains_over_a_run_whose_checkpoint_is_gone(
        self, run_cli: RunCLI, in_empty_folder: Path
    ) -> None:
        (in_empty_folder / "run").mkdir()
        (in_empty_folder / "run" / "metrics.csv").write_text("kimg\n")
        error = run_cli.fails("fit", *TINY, "--run_dir", "run", "--ckpt_path", "auto")
        assert "already holds a run" in error

    def test_auto_is_for_fit(self, run_cli: RunCLI) -> None:
        assert "auto is for fit" in run_cli.fails("validate", *TINY, "--ckpt_path", "auto")

    def test_refused_settings_leave_a_folder_that_can_be_used(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        run_cli.fails("fit", *TINY, "--model.micro_batch", 3, "--run_dir", "run")
        run_cli.succeeds("fit", *TINY, "--trainer.max_steps", 1, "--run_dir", "run")
        assert (in_empty_folder / "run/checkpoints/last.ckpt").is_file()
