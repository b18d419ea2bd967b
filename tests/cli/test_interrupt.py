"""Signals to real training processes: Ctrl-C, SIGTERM and SIGUSR1."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dualgan.weights.checkpoints import load_generator, read_checkpoint
from tests.conftest import QUIET, TINY, process_environment

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

PROGRAM = (sys.executable, "-m", "dualgan", "fit", *QUIET, *TINY, "--model.total_kimg", "1000", "--run_dir", "run")


class Program(subprocess.Popen[str]):
    """A process with a session of its own that does not outlive a test that fails."""

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        super().__exit__(kind, *error)


def start(folder: Path, *words: str, **variables: str) -> Program:
    variables = {"DUALGAN_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"} | variables
    return Program(
        [*PROGRAM, *words],
        cwd=folder,
        env=process_environment(**variables),
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


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def test_saves_says_how_to_go_on_and_exits_with_130(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        wait_for(process, "Training:")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
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
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "dualgan fit --config run/config.yaml --ckpt_path last" in out + err
    load_generator(tmp_path / "run" / "checkpoints" / "last.ckpt")


def test_before_the_first_step(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        wait_for(process, "0 kimg:")  # the untrained generator's score
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "dualgan fit --config run/config.yaml --ckpt_path last" in err


# A scheduler signals the loader's processes too.
def test_sigterm_to_all_processes_saves_and_exits_with_143(tmp_path: Path) -> None:
    with start(tmp_path, "--data.num_workers", "1") as process:
        wait_for(process, "Training:")
        os.killpg(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 143
    assert "Traceback" not in err
    assert "SIGTERM" in out
    load_generator(tmp_path / "run" / "checkpoints" / "last.ckpt")


# Two tasks as srun starts them, one on each of two nodes.
def test_sigusr1_to_one_of_two_tasks_saves_and_requeues_the_job_once(tmp_path: Path, scontrol: Path) -> None:
    job = {
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "gan", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2", "SLURM_LOCALID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(),
        "PATH": f"{scontrol}:{os.environ['PATH']}",
    }  # fmt: skip
    words = ("--config", "slurm.yaml", "--trainer.enable_progress_bar", "true", "--trainer.num_nodes", "2")
    first, second = (start(tmp_path, *words, **job, SLURM_PROCID=n, SLURM_NODEID=n) for n in "01")
    with first, second:
        wait_for(first, "Training:")
        second.send_signal(signal.SIGUSR1)
        (out, err), (_, other_err) = (process.communicate(timeout=300) for process in (first, second))
    assert (first.returncode, second.returncode) == (138, 138), err + other_err
    assert "Traceback" not in err + other_err
    assert "Job 4711 is requeued." in out
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert int(checkpoint["state_dict"]["images_seen"]) > 0
    assert not list(tmp_path.rglob("hpc_ckpt*"))  # Lightning's own
