"""What a study's runs are trained on: one place per core or GPU, and what to write down about it."""

import os
import platform
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dualgan.runtime.devices import best_device
from dualgan.version import __version__

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Place(NamedTuple):
    """Where one run at a time is trained.

    Attributes:
        device: Its name, for the record.
        variables: Of the environment of its processes.
    """

    device: str
    variables: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The machine as plain data."""
        versions = {"dualgan": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
        return {"device": self.device, "system": platform.platform(terse=True), **versions}


def places(workers: int | None, cpu_only: bool) -> list[Place]:
    """One place for every process: by default one per GPU where there are any, else one per core.

    More processes than GPUs share these in turn. On a CPU each computes in one thread, unless OMP_NUM_THREADS says
    otherwise: the result of a training depends on their number.

    Args:
        workers: Number of processes; None for the default.
        cpu_only: Whether all runs are told to train on the CPU.
    """
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    kind = "cpu" if cpu_only else best_device().device
    if kind == "cuda":
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        visible = os.environ.get(VISIBLE, "").split(",") if os.environ.get(VISIBLE) else map(str, range(len(names)))
        gpus = [Place(name, {VISIBLE: one, **threads}) for name, one in zip(names, visible, strict=False)]
        return [gpus[k % len(gpus)] for k in range(workers or len(gpus))]
    if kind == "mps":
        return [Place("Apple GPU", threads)] * (workers or 1)
    said = f"{cpu_name()}, threads: {threads['OMP_NUM_THREADS']}"
    return [Place(said, threads)] * (workers or cores())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
