"""Nothing fails on what a console or a reader of the output can take: old encodings, odd names, closed pipes."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualgan.cli.main import main
from dualgan.runs.wandb_logger import KimgWandbLogger, Session
from dualgan.terminal.console import flush_output
from tests.conftest import NETWORKS, QUIET, TINY, RunCLI, process_environment, words

ODD = os.fsdecode("прогон-".encode() + b"\xff")
"""A name with Cyrillic letters, and with a byte that is no text at all."""

Console = Callable[..., tuple[int, str, str]]


@pytest.fixture(params=["ascii", "cp1252", "utf-8"])
def console(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, in_empty_folder: Path, caches: None
) -> Console:
    """Calls the command line with an output of another encoding, as strict as Python opens it."""

    def call(*given: object) -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=request.param, write_through=True) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            code = main([str(word) for word in given])
        out, err = (stream.buffer.getvalue().decode(request.param) for stream in streams)
        return code, out, err

    return call


@pytest.fixture
def odd_run(finished_run: Callable[[], Path], in_empty_folder: Path) -> Path:
    """A run in a folder of an odd name."""
    import shutil

    return Path(shutil.copytree(finished_run(), in_empty_folder / ODD))


@pytest.fixture
def odd_images(in_empty_folder: Path) -> Path:
    """Images of odd names in a folder of an odd name; two are the same, one is no image."""
    folder = in_empty_folder / f"images {ODD}"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(8):
        pixels = generator.integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{ODD}{number}.png")
        Image.fromarray(pixels).save(folder / f"same{number}{ODD}.png")
    (folder / f"bad {ODD}.png").write_bytes(b"no image")
    return folder


OF_RUN = {
    "generate": "--seeds 0,1 --grid --out {odd}",
    "samples": "--rows 1 --columns 2 --out {odd}.png",
    "evaluate": "--metrics kid --num_fake 8 --num_real 8 --extractor efficientnet_lite0",
    "neighbors": "--seeds 0 --k 1 --space pixel --out {odd}.png",
    "interpolate": "--seeds 0,1 --steps 2 --frames 2 --out {odd}.png",
    "video": "--seeds 0,1 --seconds 0.1 --out {odd}.gif",
    "mix": "--rows 0 --cols 1 --out {odd}.png",
    "directions": "--num 2 --seeds 0 --steps 3 --out {odd}.png",
    "spectra": "--num 8 --out {odd}.png",
    "project": "--num 1 --steps 1 --out {odd}.png",
    "tsne": "--num 16 --points 8 --perplexity 2 --out {odd}.png",
    "export": "--what all --out {odd}.safetensors",
}


@pytest.mark.parametrize("verb", OF_RUN)
def test_runs_and_outputs_of_odd_names(verb: str, console: Console, odd_run: Path) -> None:
    given = [word.replace("{odd}", f"out {ODD}") for word in words(OF_RUN[verb])]
    code, out, err = console(verb, "--ckpt", odd_run, *given)
    assert code == 0, err
    assert "Wrote" in out
    for written in Path().glob("*.json"):
        json.loads(written.read_text(encoding="utf-8"))


@pytest.mark.filterwarnings("ignore:.*going on without")
def test_neighbors_of_images_of_odd_names(console: Console, odd_run: Path, odd_images: Path) -> None:
    given = words("--seeds 0 --k 3 --out near.png --space pixel --data.skip_bad_images true")
    code, _, err = console("neighbors", "--ckpt", odd_run, "--data", odd_images, *given)
    assert code == 0, err
    assert Path("near.json").is_file()


def test_projections_of_images_of_odd_names(console: Console, odd_run: Path, odd_images: Path) -> None:
    given = ["--images", odd_images / f"{ODD}0.png", "--steps", 1, "--out", "drawn.png"]
    code, _, err = console("project", "--ckpt", odd_run, *given)
    assert code == 0, err


def test_comparison_of_runs_of_odd_names(console: Console, odd_run: Path) -> None:
    code, out, err = console("compare", odd_run, "--out", f"{ODD}.html")
    assert code == 0, err
    assert "Wrote" in out
    assert "прогон" in Path(f"{ODD}.html").read_text(encoding="utf-8")


def test_inspection_and_packing_of_odd_names(console: Console, odd_images: Path) -> None:
    code, out, err = console("inspect", odd_images, "--out", f"{ODD}.png", "--json", f"{ODD}.json")
    assert code == 0, err
    assert "surplus 8" in out
    json.loads(Path(f"{ODD}.json").read_text(encoding="utf-8"))
    code, _, err = console("prepare", odd_images, f"packed {ODD}", "--resolution", 8, "--skip_bad_images")
    assert code == 0, err


@pytest.mark.parametrize(
    "given", ["generate --ckpt {odd}.ckpt --out x", "inspect {odd}", "fit --config {odd}.yaml", "{odd}"]
)
def test_errors_about_odd_names(given: str, console: Console) -> None:
    code, _, err = console(*(word.replace("{odd}", ODD) for word in words(given)))
    assert code == 2
    assert err.splitlines()[-1].startswith("error: ")  # after a line about the device, which is said once a process


@pytest.mark.filterwarnings("ignore:.*going on without")
def test_trainings_of_odd_names(console: Console, odd_images: Path) -> None:
    data = words(
        "--data ImageFolder --data.resolution 8 --data.batch_size 8 --data.num_val 4 --data.skip_bad_images true"
    )
    of_run = [
        *QUIET,
        *NETWORKS,
        *data,
        "--data.root",
        odd_images,
        "--model.total_kimg",
        "0.016",
        "--run_dir",
        f"runs/{ODD}",
    ]
    code, out, err = console("fit", *of_run)
    assert code == 0, err
    assert "Run folder: " in out
    code, _, err = console("fit", *QUIET, "--config", f"runs/{ODD}/config.yaml", "--ckpt_path", "last")
    assert code == 0, err


def finished(run: Path) -> bool:
    return (run / "checkpoints" / "last.ckpt").is_file()


def test_a_training_that_succeeded_stays_a_success(run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("no words left")

    monkeypatch.setattr("dualgan.cli.lightning.summary", broken)
    outcome = run_cli("fit", *TINY, "--run_dir", "run")
    assert outcome.code == 0
    assert "the closing summary failed (no words left)" in outcome.err
    assert finished(Path("run"))


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe as a shell does")
def test_a_training_whose_reader_is_gone_succeeds(in_empty_folder: Path, caches: None) -> None:
    train = [sys.executable, "-m", "dualgan", "fit", *QUIET, *TINY, "--run_dir", f"new {ODD}"]
    reader, writer = os.pipe()
    os.close(reader)
    environment = process_environment(PYTHONIOENCODING="cp1252")
    done = subprocess.run(train, stdout=writer, stderr=subprocess.PIPE, env=environment, timeout=300)
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
    assert finished(Path(f"new {ODD}"))


def test_a_closed_output_is_noticed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    print("lost", file=stream)
    monkeypatch.setattr(sys, "stdout", stream)
    assert not flush_output()
    assert flush_output()
    stream.close()


def test_an_end_of_wandb_that_fails_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Gone:
        def finish(self, exit_code: int) -> None:
            raise BrokenPipeError("its process has ended")

    logger = KimgWandbLogger(tmp_path, Session())
    logger._run = Gone()
    logger.finalize("success")
    assert "W&B has failed (its process has ended)" in caplog.text


def test_streams_that_were_closed_before_the_start_take_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        closed.setattr(sys, "stderr", None)
        codes = main(["--version"]), main(["no_verb"])
        for stream in (sys.stdout, sys.stderr):
            stream.close()
    assert codes == (0, 2)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["weights"]])
def test_who_reads_no_further_ends_nothing_with_a_traceback(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "dualgan", *words], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_lines_are_said_before_lightning_is_there() -> None:
    program = (
        "import sys; from dualgan.terminal.console import say; say('a line'); print('pytorch_lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=process_environment())
    assert done.stdout.splitlines() == ["a line", "False"], done.stderr
