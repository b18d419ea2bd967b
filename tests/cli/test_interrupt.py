"""Ctrl-C in a real process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dualgan.checkpoints import load_generator
from tests.conftest import QUIET, TINY

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "DUALGAN_CACHE": str(folder / "cache"),
        "PYTHONUNBUFFERED": "1",
    }
    endless = ["--model.total_kimg", "1000", "--run_dir", "run"]
    return subprocess.Popen(
        [sys.executable, "-m", "dualgan", "fit", *QUIET, *TINY, *endless],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


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
