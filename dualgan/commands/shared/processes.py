"""The same work in several processes of this machine, one per device."""

import os
import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from dualgan.runtime.process import flush_denormals, keep_freed_memory
from dualgan.terminal.console import quiet_libraries, show_what_can_be_shown
from dualgan.terminal.options import find_device

T = TypeVar("T")
Work = Callable[[torch.device, Any], T]


class _Spawned(DDPStrategy):
    """Fabric's launcher, here whatever scheduler has started this program, and without its banner."""

    def __init__(self) -> None:
        super().__init__(start_method="spawn", cluster_environment=LightningEnvironment())

    def setup_environment(self) -> None:
        with quiet_libraries():  # in the new process
            super().setup_environment()


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
    place = check_devices(device, devices)
    if devices == 1:
        return work(place, job)
    port = os.environ.get("MASTER_PORT")
    try:
        with quiet_libraries():
            fabric = Fabric(accelerator=place.type, devices=devices, strategy=_Spawned())
            result: T = pickle.loads(fabric.launch(partial(_in_process, work, job)))
        return result
    # Fabric passes on what the processes raise as torch words it: a traceback, of which the user needs the last line.
    except ProcessRaisedException as error:
        if mistake := re.search(r"^ValueError: (.*)\Z", str(error).strip(), flags=re.MULTILINE | re.DOTALL):
            raise ValueError(mistake[1]) from error
        raise
    except ProcessExitedException as error:
        raise RuntimeError(f"one of {devices} processes ended early ({error}): is there memory for all?") from error
    finally:  # Fabric leaves its port there, where a training in this process would find it
        if port is None:
            os.environ.pop("MASTER_PORT", None)


def check_devices(device: str, devices: int) -> torch.device:
    """The device of a name, of which so many processes can have one each.

    Raises:
        ValueError: No such device, or too many or too few of them.
    """
    place = find_device(device)
    if devices < 1:
        raise ValueError(f"devices {devices} is too small: give 1 or more")
    if devices > 1 and place.type == "cuda" and devices > torch.cuda.device_count():
        raise ValueError(f"devices {devices} is too large: this machine has {torch.cuda.device_count()} GPUs")
    return place


def _in_process(work: Work[T], job: Any, fabric: Fabric) -> bytes:
    show_what_can_be_shown()
    flush_denormals()
    keep_freed_memory()
    result = work(fabric.device, job)
    dist.destroy_process_group()
    return pickle.dumps(result)  # Fabric looks for tensors in what is not bytes, and refuses frozen dataclasses
