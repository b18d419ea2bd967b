"""`dualgan evaluate`."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dualgan.commands.shared import measuring
from dualgan.commands.shared.work_folders import claimed
from dualgan.metrics import FeatureExtractor
from tests.conftest import RunCLI, process_environment


class Coarse(FeatureExtractor):
    """Coarse pixels as features."""

    name, dim, weight_hash = "coarse", 12, "0123456789abcdef"

    def features(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick extractor."""
    monkeypatch.setattr(measuring, "find_extractor", lambda name, weights: Coarse())


def photos(folder: str, count: int = 24, size: int = 8, mode: str = "RGB") -> str:
    Path(folder).mkdir()
    draw = np.random.default_rng(0)
    for number in range(count):
        pixels = draw.integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(Path(folder) / f"{number}.png")
    return folder


def scores(path: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def values(path: str | Path) -> dict[str, Any]:
    return {name: value for name, value in scores(path).items() if name not in ("provenance", "notes", "kimg")}


@pytest.mark.usefixtures("coarse")
def test_a_checkpoint_of_a_run_is_scored_against_the_data_of_its_run(
    run_cli: RunCLI, finished_run: Callable[[], Path]
) -> None:
    run = finished_run()
    ckpt, history = run / "checkpoints" / "last.ckpt", run / "metrics.jsonl"
    lines = len(history.read_text().splitlines())
    metrics = ("fid", "kid", "pr", "dc", "fddf")
    outcome = run_cli("evaluate", "--ckpt", ckpt, "--num_fake", 20, "--seed", 2, "--metrics", *metrics)
    assert outcome.code == 0, outcome.err
    assert "NOT FID or KID" in outcome.err
    names = ["fd", "kd", "precision", "recall", "density", "coverage"]
    assert list(values(run / "metrics.json")) == [f"{name}_coarse" for name in names] + ["fddf"]
    provenance, notes = (scores(run / "metrics.json")[name] for name in ("provenance", "notes"))
    assert list(notes) == [*(f"{name}_coarse" for name in names[1:]), "fddf"]
    for line in outcome.out.splitlines()[1:7]:  # number and note side by side
        name, number, note = line.split(maxsplit=2)
        assert note == notes[name]
        assert note.startswith("20 generated images and 16 real images: below ")
        assert float(number) == float(f"{values(run / 'metrics.json')[name]:.2g}")
    expected = {
        "real_size": 16, "num_real": 16, "num_fake": 20, "extractor": "coarse", "ema": True, "truncation_psi": 1.0,
        "seed": 2, "noise_mode": "random", "kimg": 0.016, "precision_recall_k": 3, "kernel_subset_size": 16,
    }  # fmt: skip
    assert {name: provenance[name] for name in expected} == expected
    assert {"real_fingerprint", "weight_hash", "checkpoint_sha256", "dualgan_version", "torch_version"} < set(
        provenance
    )
    added = [json.loads(line) for line in history.read_text().splitlines()[lines:]]
    assert [(line["verb"], line["notes"], line["provenance"]) for line in added] == [("evaluate", notes, provenance)]
    assert not list(run.glob("*.work"))
    run_cli.succeeds("evaluate", "--ckpt", ckpt, "--num_fake", 20, "--weights", "raw", "--out", "raw.json")
    assert scores("raw.json")["provenance"]["ema"] is False
    assert values("raw.json")["fd_coarse"] != values(run / "metrics.json")["fd_coarse"]


@pytest.mark.usefixtures("coarse")
def test_the_same_images_score_the_same_wherever_they_lie(
    run_cli: RunCLI, checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path, real = checkpoint(), photos("real")
    run_cli.succeeds("generate", "--ckpt", path, "--seeds", "0-69", "--out", "folder")
    run_cli.succeeds("generate", "--ckpt", path, "--seeds", "0-69", "--out", "made.zip")
    run_cli.succeeds("prepare", "folder", "packed", "--resolution", 8, "--crop", "none")
    metrics = ("--metrics", "fid", "kid", "pr", "dc", "--data", real)
    run_cli.succeeds("evaluate", "--ckpt", path, "--num_fake", 70, *metrics, "--out", "direct.json")
    for place in ("folder", "made.zip", "packed"):
        run_cli.succeeds("evaluate", "--fake", place, *metrics, "--out", "set.json")
        assert values("set.json") == values("direct.json"), place


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "no real images"),
        ("--data real --config clevr_demo.yaml", "give one of them"),
        ("--data nowhere", "nowhere"),
        ("--data SyntheticCLEVR --data.resolution 16 --data.num_images 4", "Pass --resolution 8"),
        ("--data gray", "pass --data.num_channels 3"),
        ("--data real --metrics fid speed", "'speed' is unknown: expected some of fid, kid"),
        ("--data real --num_fake 1", "num_fake 1 is too small: fid needs 2 generated images"),
        ("--data real --num_fake 3 --metrics pr", "num_fake 3 is too small: pr needs 4 generated images"),
        ("--data real --num_real 0", "num_real 0 is too small: fid needs 2 real images"),
        ("--data real --num_real 25", "num_real 25 does not fit a set of 24 images"),
        ("--data real --fake real", "not both"),
        ("--data nowhere --out real", "out 'real' is a folder: name the file to write"),
        ("--data nowhere --devices 0", "devices 0"),
        ("--data nowhere --seed 4096", "seed 4096 is out of range"),
        ("--data real --batch_size 0", "batch_size 0"),
        ("--data nowhere --metrics fid ppl --truncation_psi 0.5", "without truncation"),
        ("--data real --trunkation_psi 0.5", "did you mean --truncation_psi"),
        ("--data real --data.rezolution 8", "did you mean --data.resolution"),
    ],
)
def test_mistakes(words: str, expected: str, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    photos("real")
    photos("gray", mode="L")
    assert expected in run_cli.fails("evaluate", "--ckpt", checkpoint(), "--num_fake", 8, *words.split())


@pytest.mark.usefixtures("coarse")
def test_mistakes_with_images_of_others(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    photos("real")
    photos("mixed")
    Image.new("RGB", (16, 16)).save("mixed/large.png")
    photos("single", count=1)
    fails = run_cli.fails
    assert "2 sizes (24 of 8x8, 1 of 16x16)" in fails("evaluate", "--fake", "mixed", "--data", "real")
    assert "num_fake 1 is too small" in fails("evaluate", "--fake", "single", "--data", "real")
    assert "needs the networks" in fails("evaluate", "--fake", "real", "--data", "real", "--metrics", "fddf")
    assert "--truncation_psi has no effect" in fails("evaluate", "--fake", "real", "--truncation_psi", "0.5")
    assert "scored as they are" in fails("evaluate", "--fake", "real", "--data", "real", "--resolution", 16)
    assert "no real images" in fails("evaluate", "--fake", "real")
    assert "--ckpt" in fails("evaluate", "--data", "real")


@pytest.mark.usefixtures("coarse")
def test_a_checkpoint_that_is_replaced_meanwhile_is_not_scored(
    run_cli: RunCLI, finished_run: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ckpt, open_images = finished_run() / "checkpoints" / "last.ckpt", measuring.open_images

    def train_on(*arguments: Any, **settings: Any) -> Any:
        state = torch.load(ckpt, weights_only=True)
        torch.save(state | {"another": 1}, ckpt)
        return open_images(*arguments, **settings)

    monkeypatch.setattr(measuring, "open_images", train_on)
    error = run_cli.fails("evaluate", "--ckpt", ckpt, "--num_fake", 8)
    assert "last.ckpt was replaced while its evaluation was being prepared: evaluate a copy" in error


class Stopping(Coarse):
    """Raises an error once it has seen some images."""

    def __init__(self, after: int, error: type[BaseException]) -> None:
        super().__init__()
        self.left, self.error = after, error

    def features(self, images: Tensor) -> Tensor:
        self.left -= len(images)
        if self.left < 0:
            raise self.error("stopped")
        return super().features(images)


class TestInterrupted:
    """What a stopped evaluation leaves, and what becomes of it."""

    def stop(self, run_cli: RunCLI, words: tuple[object, ...], after: int, error: type[BaseException]) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(measuring, "find_extractor", lambda name, weights: Stopping(after, error))
            try:
                return run_cli("evaluate", *words).err
            except error:  # of the program, not of the user: the entry point reports it
                return run_cli.capture.readouterr().err

    @pytest.fixture
    def words(self, checkpoint: Callable[..., Path], coarse: None) -> tuple[object, ...]:
        return ("--ckpt", checkpoint(), "--data", photos("real"), "--num_fake", 130, "--batch_size", 16)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
    def test_the_same_command_goes_on(
        self, error: type[BaseException], run_cli: RunCLI, words: tuple[object, ...]
    ) -> None:
        said = self.stop(run_cli, words, 100, error)
        assert "kept in metrics.json.work: the same command goes on" in said
        assert "Going on: 64 of 130 generated images have been measured already, in metrics.json.work" in (
            run_cli.succeeds("evaluate", *words)
        )
        assert not Path("metrics.json.work").exists()

    def test_nothing_is_kept_of_nothing(self, run_cli: RunCLI, words: tuple[object, ...]) -> None:
        assert "is kept" not in self.stop(run_cli, words, 20, KeyboardInterrupt)
        assert not Path("metrics.json.work").exists()

    def test_an_evaluation_with_other_settings_removes_it(self, run_cli: RunCLI, words: tuple[object, ...]) -> None:
        self.stop(run_cli, words, 100, KeyboardInterrupt)
        said = run_cli.succeeds("evaluate", *words, "--seed", 1)
        assert "Going on" not in said
        assert "Removed 64 measured images of an interrupted evaluation" in said
        assert not Path("metrics.json.work").exists()

    def test_so_does_another_interrupted_one(self, run_cli: RunCLI, words: tuple[object, ...]) -> None:
        for seed in range(3):
            self.stop(run_cli, (*words, "--seed", seed), 100, KeyboardInterrupt)
            assert len(list(Path("metrics.json.work").iterdir())) == 1

    def test_one_that_still_runs_keeps_its_own(self, run_cli: RunCLI, words: tuple[object, ...]) -> None:
        work = Path("metrics.json.work", "other")
        with claimed(work):
            (work / "generated").mkdir()
            (work / "generated" / "000000000-000000064.safetensors").touch()
            assert "Removed" not in run_cli.succeeds("evaluate", *words)
            assert [path.name for path in Path("metrics.json.work").iterdir()] == ["other"]
        assert "Removed 64" in run_cli.succeeds("evaluate", *words)
        assert not Path("metrics.json.work").exists()


def test_features_of_one_perceptual_distance_are_not_those_of_another() -> None:
    job = measuring.Job("last.ckpt", None, {}, ("auto", None), {"metrics": ("ppl_wend",)}, {}, Path("work"), {})
    reference, extractor = Mock(fingerprint="f", label_counts=None), Coarse()
    distances = [None, Mock(weight_hash="a"), Mock(weight_hash="b")]
    for distance in distances[1:]:
        distance.name = "lpips_vgg16"  # type: ignore[union-attr]
    keys = [measuring._key(job, extractor, distance, reference) for distance in distances]
    assert len(set(keys)) == 3


def test_a_missing_weight_file_is_named(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    words = ("--ckpt", checkpoint(), "--data", photos("real"), "--num_fake", 4, "--extractor", "inception_v3")
    assert "gone.pth" in run_cli.fails("evaluate", *words, "--extractor_weights", "gone.pth")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "dualgan", "evaluate", "--extractor", "efficientnet_lite0", *map(str, words)]


def test_killed_and_on_two_processes_it_ends_with_the_numbers_of_one(
    run_cli: RunCLI, checkpoint: Callable[..., Path]
) -> None:
    words = ("--ckpt", checkpoint(), "--data", photos("real"), "--num_fake", 192, "--batch_size", 16)
    environment = process_environment()
    with subprocess.Popen(command(*words, "--out", "a.json"), env=environment, stderr=subprocess.DEVNULL) as killed:
        while not list(Path("a.json.work").rglob("[0-9]*.safetensors")):
            assert killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    assert not Path("a.json").exists()
    more = ("--devices", 2, "--out", "a.json")
    done = subprocess.run(command(*words, *more), env=environment, capture_output=True, text=True, check=True)
    assert "of 192 generated images have been measured already" in done.stdout
    assert "images/s" not in done.stderr  # no bar where nobody watches
    assert not Path("a.json.work").exists()
    torch.set_num_threads(1)
    run_cli.succeeds("evaluate", "--extractor", "efficientnet_lite0", *words, "--out", "b.json")
    assert values("a.json") == pytest.approx(values("b.json"), rel=1e-9)
    assert scores("a.json")["provenance"] == scores("b.json")["provenance"]
