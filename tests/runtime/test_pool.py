"""Processes for rendering and packing: they load little, do not run the script again, and end with it."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest

from dualgan.runtime.pool import in_processes

LOADED = "' '.join(sorted({name.partition('.')[0] for name in __import__('sys').modules}))"

SCRIPT = """
import sys
from dualgan.data import SyntheticCLEVR
print("script", flush=True)
data = SyntheticCLEVR(COUNT, resolution=64, batch_size=4, cache_dir=sys.argv[1], num_renderers=2)
data.prepare_data()
print("done", data.dataset_size, flush=True)
"""


needs_linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")


def start(folder: Path, count: int) -> "subprocess.Popen[str]":
    (folder / "script.py").write_text(SCRIPT.replace("COUNT", str(count)))
    words = [sys.executable, str(folder / "script.py"), str(folder / "cache")]
    # who runs the tests in the background may have left them without Ctrl-C, and a child would be, too
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listens)


def rendering(process: "subprocess.Popen[str]", folder: Path) -> list[int]:
    """The processes of a script that has begun to render: those that render, and Python's that looks after them."""
    while not any(path.read_bytes()[200:].strip(b"\0") for path in folder.rglob("*.partial")):
        assert process.poll() is None
        time.sleep(0.02)
    found = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(child) for task in found for child in task.read_text().split()]


def wait_for_the_end_of(processes: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("processes", [1, 2])
def test_every_job_is_done_once_and_known_by_its_number(processes: int) -> None:
    jobs = [(base, 2) for base in range(20)]
    assert sorted(in_processes(pow, jobs, processes)) == [(number, number**2) for number in range(20)]
    assert list(in_processes(pow, [], processes)) == []


def test_processes_load_neither_torch_nor_lightning_nor_the_script() -> None:
    (_, first), (_, second) = in_processes(eval, [(LOADED,), (LOADED,)], 2)
    for loaded in (first, second):
        assert "dualgan" in loaded.split()
        assert not {"torch", "lightning", "pytorch_lightning", "pytest"} & set(loaded.split())


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    said, complaints = start(tmp_path, 40).communicate()
    assert said.split() == ["script", "done", "40"], complaints


def test_errors_keep_their_kind() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_processes(pow, [(2, 1), (0, -1), (2, 3)], 2))


def test_killed_processes_are_noticed() -> None:
    with pytest.raises(BrokenProcessPool):
        list(in_processes(eval, [("__import__('os').kill(__import__('os').getpid(), 9)",)] * 4, 2))


@needs_linux
def test_a_killed_rendering_process_is_said(tmp_path: Path) -> None:
    process = start(tmp_path, 3_000)
    children = rendering(process, tmp_path)
    os.kill(next(child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()), 9)
    _, complaints = process.communicate(timeout=300)
    assert "RuntimeError: A rendering process ended at once" in complaints
    assert not left_over(tmp_path / "cache")


@needs_linux
def test_ctrl_c_leaves_no_set_and_no_process(tmp_path: Path) -> None:
    process = start(tmp_path, 3_000)
    children = rendering(process, tmp_path)
    for stopped in [process.pid, *children]:  # a terminal tells the whole group
        os.kill(stopped, signal.SIGINT)
    _, complaints = process.communicate(timeout=300)
    assert "KeyboardInterrupt" in complaints
    assert "BrokenProcessPool" not in complaints
    assert not left_over(tmp_path / "cache")
    wait_for_the_end_of(children)


@needs_linux
def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, 3_000)
    children = rendering(process, tmp_path)
    assert len(children) >= 2
    process.kill()
    process.communicate()
    wait_for_the_end_of(children)
    assert not list(tmp_path.rglob("*.json"))
