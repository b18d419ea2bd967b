"""Signals to real training processes: Ctrl-C, SIGTERM and SIGUSR1."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dualgan.checkpoints import load_generator, read_checkpoint
from tests.conftest import QUIET, TINY

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

PROGRAM = (sys.executable, "-m", "dualgan", "fit", *QUIET, *TINY, "--model.total_kimg", "1000", "--run_dir", "run")
TWO_RANKS = ("--trainer.devices", "2")


def start(folder: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "DUALGAN_CACHE": str(folder / "cache"),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }
    return subprocess.Popen(
        [*PROGRAM, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def scontrol(tmp_path: Path) -> Path:
    """A folder with a program of SLURM's that writes down what it was asked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    program.chmod(0o755)
    return folder


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def child_of(process: subprocess.Popen[str]) -> int:
    """The second rank, which Lightning's launcher has started."""
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if entry.name.isdigit() and int(status[1]) == process.pid and "fit" in words:
            return int(entry.name)
    raise AssertionError("no second rank")


def test_saves_says_how_to_go_on_and_exits_with_130(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        wait_for(process, "Training:")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "dualgan fit --config run/config.yaml --ckpt_path last" in out
    assert "Traceback" not in err
    load_generator(tmp_path / "run" / "checkpoints" / "last.ckpt")


def test_twice_stops_at_once(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        wait_for(process, "Training:")
        process.send_signal(signal.SIGINT)
        time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_before_the_first_step(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        wait_for(process, "0 kimg:")  # the untrained generator's score
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err


# A scheduler signals the loader's processes too.
def test_sigterm_to_all_processes_saves_and_exits_with_143(tmp_path: Path) -> None:
    with start(tmp_path, "--data.num_workers", "1") as process:
        wait_for(process, "Training:")
        os.killpg(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "Traceback" not in err
    assert "SIGTERM" in out
    load_generator(tmp_path / "run" / "checkpoints" / "last.ckpt")


def test_sigusr1_to_one_of_two_ranks_saves_on_both_and_requeues_the_job_once(tmp_path: Path, scontrol: Path) -> None:
    path = f"{scontrol}:{os.environ['PATH']}"
    with start(tmp_path, *TWO_RANKS, SLURM_JOB_ID="4711", PATH=path) as process:
        wait_for(process, "Training:")
        os.kill(child_of(process), signal.SIGUSR1)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 138, err
    assert "Traceback" not in err
    assert "Job 4711 is requeued." in out
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert int(checkpoint["state_dict"]["images_seen"]) > 0
