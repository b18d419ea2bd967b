"""The line that every benchmark begins with: numbers mean something beside the machine that they were measured on."""

import torch

from dualgan.runtime.devices import cpu_name


def processor(device: torch.device | str = "cpu") -> str:
    """Name of what computes on a device."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def print_machine(device: torch.device | str = "cpu") -> None:
    """Name the CPU or GPU that the benchmark runs on."""
    print(f"On {processor(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}", flush=True)
