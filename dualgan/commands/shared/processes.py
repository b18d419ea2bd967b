"""The same work in several processes of this machine, one per device."""

import pickle
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from dualgan.data.arguments import usable_cpus
from dualgan.runtime.process import flush_denormals, keep_freed_memory
from dualgan.terminal.options import find_device

T = TypeVar("T")
Work = Callable[[torch.device, Any], T]


def on_devices(work: Work[T], job: Any, device: str, devices: int) -> T:
    """Do some work in `devices` processes that share a process group (NCCL on GPUs, Gloo on the CPU).

    Args:
        work: called in every process with its device and `job`; a function at the top of a module.
        job: what to do; it is pickled.
        device: "auto", "cpu", "cuda", ...
        devices: number of processes; one is this process itself.

    Returns:
        What the first process returns.

    Raises:
        ValueError: No such device, or too many of them, or a process has raised one.
        RuntimeError: A process has failed or was killed.
    """
    place = find_device(device)
    if devices < 1:
        raise ValueError(f"devices {devices} is too small: give 1 or more")
    if devices == 1:
        return work(place, job)
    if place.type == "cuda" and devices > torch.cuda.device_count():
        raise ValueError(f"devices {devices} is too large: this machine has {torch.cuda.device_count()} GPUs")
    with tempfile.TemporaryDirectory() as folder:
        try:
            spawn(_in_process, (devices, folder, place.type, work, job), nprocs=devices)  # type: ignore[no-untyped-call]
        except ProcessRaisedException as error:
            if mistake := re.search(r"^ValueError: (.*)\Z", str(error).strip(), flags=re.MULTILINE | re.DOTALL):
                raise ValueError(mistake[1]) from error
            raise
        except ProcessExitedException as error:
            raise RuntimeError(f"one of {devices} processes ended early ({error}): is there memory for all?") from error
        result: T = pickle.loads((Path(folder) / "result").read_bytes())
        return result


def _in_process(rank: int, devices: int, folder: str, kind: str, work: Work[T], job: Any) -> None:
    flush_denormals()
    keep_freed_memory()
    device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, usable_cpus() // devices))
    backend = "nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=rank, world_size=devices)
    result = work(device, job)
    if rank == 0:
        (Path(folder) / "result").write_bytes(pickle.dumps(result))
    dist.destroy_process_group()
