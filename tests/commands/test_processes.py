"""Work in several processes: what comes back from them, and how they fail."""

import os
import signal
from typing import Any

import pytest
import torch
import torch.distributed as dist

from dualgan.commands.shared.processes import on_devices


def work(device: torch.device, job: str) -> Any:
    """Do what `job` says in the second process."""
    assert str(device) == "cpu"
    if dist.get_rank() == 1 and job == "mistake":
        raise ValueError("data 'x': no such images, of two lines\nat most")
    if dist.get_rank() == 1 and job == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    told: list[Any] = [None, None]
    dist.all_gather_object(told, (dist.get_rank(), dist.get_backend(), torch.get_num_threads()))
    return told if dist.get_rank() == 0 else "of the second process"


def test_the_first_process_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_PORT", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert on_devices(work, "answer", "cpu", 2) == [(0, "gloo", 2), (1, "gloo", 2)]
    assert "MASTER_PORT" not in os.environ


def test_a_mistake_in_one_process_is_one_sentence_of_this_one() -> None:
    with pytest.raises(ValueError, match=r"\Adata 'x': no such images, of two lines\nat most\Z"):
        on_devices(work, "mistake", "cpu", 2)


def test_a_killed_process_is_no_mistake_of_the_user() -> None:
    with pytest.raises(RuntimeError, match=r"one of 2 processes ended early .*SIGKILL.*is there memory for all\?"):
        on_devices(work, "killed", "cpu", 2)


def test_a_number_of_processes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="devices 0 is too small"):
        on_devices(work, "answer", "cpu", 0)
