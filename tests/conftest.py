"""Fixtures that several test folders share."""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualgan.cli.main import main
from dualgan.runtime.imports import ALLOW
from tests.shipping import add_entry

os.environ[ALLOW] = "tests"  # callbacks of the tests may be named on the command line


def process_environment(**variables: str) -> dict[str, str]:
    """Environment for a process of its own: one thread, and not the W&B server that an earlier test has started."""
    return {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} | {
        "OMP_NUM_THREADS": "1",
        **variables,
    }


def words(text: str) -> list[str]:
    """Split a command line."""
    return text.split()


NETWORKS = words(
    "--model.generator StyleGAN2Generator --model.generator.channel_base 128 --model.generator.z_dim 16 "
    "--model.generator.w_dim 16 --model.generator.mapping_layers 2 "
    "--model.discriminator StyleGAN2Discriminator --model.discriminator.channel_base 128"
)
QUIET = words(
    "--wandb.mode disabled --quality.num_fake 8 --samples.rows 2 --samples.columns 2 --trainer.accelerator cpu"
)
DATA = words("--data SyntheticCLEVR --data.resolution 8 --data.num_images 16 --data.batch_size 8 --data.num_val 8")
TINY = (*NETWORKS, *DATA, "--model.total_kimg", "0.016")
"""The smallest run: two steps of eight images at 8x8."""


@dataclass
class Outcome:
    """What a call of the command line gave."""

    code: int
    out: str
    err: str


@dataclass
class RunCLI:
    """Calls the command line in this process. The trainer verbs get small evaluations and no W&B."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Outcome:
        """Run words; later ones win over the defaults."""
        texts = [str(word) for word in words]
        if (
            texts[:1]
            and texts[0] in ("fit", "validate", "test", "predict")
            and not any("help" in text for text in texts)
        ):
            texts[1:1] = QUIET
        self.capture.readouterr()
        code = main(texts)
        return Outcome(code, *self.capture.readouterr())

    def succeeds(self, *words: object) -> str:
        """Run words that must work; returns what was printed."""
        outcome = self(*words)
        assert outcome.code == 0, outcome.err
        return outcome.out

    def fails(self, *words: object) -> str:
        """Run words that must be refused, before any training and in one paragraph; returns the error."""
        outcome = self(*words)
        assert outcome.code == 2, outcome
        lines = outcome.err.strip().split("\n")
        assert lines[-1].startswith("error: "), outcome.err
        assert not any(lines[-1] in line for line in lines[:-1])
        assert "Traceback" not in outcome.err
        assert "Training" not in outcome.out
        return lines[-1].removeprefix("error: ")


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], in_empty_folder: Path, caches: None) -> RunCLI:
    return RunCLI(capsys)


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the whole session, and none of the user's own."""
    folder = tmp_path_factory.getbasetemp() / "caches"
    monkeypatch.setenv("DUALGAN_CACHE", str(folder / "dualgan"))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real photographs of mixed sizes and colour modes, those that scikit-image ships."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photographs")
    images = {name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field")}
    for number in range(8):
        name, image = list(images.items())[number % len(images)]
        height, width = image.shape[:2]
        part = np.roll(image, number * 37, axis=1)[: height - 20 * number, : width - 11 * number]
        Image.fromarray(part).save(folder / f"{name}_{number}.{'jpg' if number % 2 else 'png'}")
    return folder


@pytest.fixture
def format_1(tmp_path: Path) -> Path:
    """A checkpoint that dualgan 0.1.0 wrote before there was a second format, after two of five steps."""
    path = tmp_path / "format_1.ckpt"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "data" / "format_1.ckpt.gz").read_bytes()))
    return path


@pytest.fixture
def format_3(tmp_path: Path) -> Path:
    """A checkpoint of format 3 after two steps, whose classes were numbered by their labels: 0 and 2 of three."""
    path = tmp_path / "format_3.ckpt"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "data" / "format_3.ckpt.gz").read_bytes()))
    return path


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Folder of one tiny finished run with the dual contrastive loss, trained at the first call."""
    folder = tmp_path_factory.mktemp("finished") / "run"

    def train() -> Path:
        if not folder.exists():
            words = ["--model.loss", "DualContrastive", "--trainer.log_every_n_steps", "1", "--run_dir", str(folder)]
            assert main(["fit", *QUIET, *TINY, *words]) == 0
        return folder

    return train


ENTRY = "tiny-contr"


@pytest.fixture(scope="session")
def tiny_entry(tmp_path_factory: pytest.TempPathFactory, finished_run: Callable[[], Path]) -> Callable[[], Path]:
    """Folder with one entry as the networks that come with the package have, made from a tiny run at the first call."""
    folder = tmp_path_factory.mktemp("pretrained")

    def make() -> Path:
        if not any(folder.iterdir()):
            add_entry(finished_run(), ENTRY, folder)
        return folder

    return make


@pytest.fixture
def pretrained(tiny_entry: Callable[[], Path], caches: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let one tiny network, ENTRY, be all that comes with the package; returns the folder."""
    folder = tiny_entry()
    monkeypatch.setattr("dualgan.weights.pretrained.FOLDER", folder)
    return folder
