"""How fast is the training step on a device, and what share of the device's own peak is that? For `device_check.py`."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from device_report import FAIL, LEFT_OUT, MEASURED, Outcome, measured, reason
from flops import count_flops
from profile_step import kind_of
from step_settings import SHARES, Setting
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile
from train_step import FORMS, Step

from dualgan.networks.attention import SAN, ReferenceAttention

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "SAN": {"generator": {"attention": SAN, "attention_resolution": 32}},
    "reference": {"discriminator": {"attention": ReferenceAttention, "attention_resolution": 8}},
}
PRODUCTS = ("convolutions", "FIR", "matrix products")
WARM_UP = 3


class Size(NamedTuple):
    """How much is measured: networks by resolution, rows of the product, seconds of each measurement."""

    settings: dict[int, Setting]
    product: int
    seconds: float


def synchronize(device: torch.device) -> None:
    """Wait for what was sent to the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(run: Callable[[], object], device: torch.device, at_least: float) -> float:
    """Seconds of a call; calls follow each other without waiting, as steps do."""
    for _ in range(WARM_UP):
        run()
    calls = 1
    while True:
        synchronize(device)
        started = time.perf_counter()
        for _ in range(calls):
            run()
        synchronize(device)
        elapsed = time.perf_counter() - started
        if elapsed >= at_least:
            return elapsed / calls
        calls *= 2


# --- what the device can do ------------------------------------------------------------------------------------------


def product_rate(device: torch.device, dtype: torch.dtype, tf32: bool, size: Size) -> float:
    """Floating point operations per second of a large square matrix product."""
    a = torch.randn(size.product, size.product, device=device).to(dtype)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        elapsed = seconds_of(lambda: a @ a, device, size.seconds)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * size.product**3 / elapsed


class Peaks:
    """The device's measured rates, each found once."""

    def __init__(self, device: torch.device, size: Size) -> None:
        self.device, self.size, self._found = device, size, dict[str, float]()

    def __call__(self, precision: str) -> float:
        if precision not in self._found:
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            self._found[precision] = product_rate(self.device, dtype, precision == "TF32", self.size)
        return self._found[precision]

    def outcomes(self) -> Iterator[Outcome]:
        for precision in ("bf16", "float32", *(["TF32"] if self.device.type == "cuda" else [])):
            yield measured(precision, lambda: {"TFLOP/s": self(precision) / 1e12})  # noqa: B023


# --- the step --------------------------------------------------------------------------------------------------------


class Captured:
    """A phase as a CUDA graph: its launches are recorded once and replayed as one."""

    def __init__(self, step: Step, phase: str) -> None:
        run = step.phases[phase]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                with step.prepared("ours"):
                    run()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        # gradients are None at the capture, so that every replay writes them anew
        with step.prepared("ours"), torch.cuda.graph(self.graph):
            run()

    def __call__(self) -> None:
        self.graph.replay()


def flops_of(resolution: int, setting: Setting, variant: str) -> dict[str, int]:
    """Operations of every phase in our form, counted without computing anything."""
    step = Step(resolution, setting, False, True, device="meta", **VARIANTS[variant])
    found = {}
    for phase, run in step.phases.items():
        with step.prepared("ours"):
            found[phase] = count_flops(run)
    return found


class Case(NamedTuple):
    """One line of the table of speeds."""

    resolution: int
    variant: str
    precision: str  # bf16, TF32 or float32
    form: str = "ours"
    way: str = "eager"  # eager, compiled or graphs

    @property
    def name(self) -> str:
        form = {"usual": "textbook form", "ours": self.way}[self.form]
        return f"{self.resolution}x{self.resolution}, {self.variant}, {self.precision}, {form}"


def runs_of(step: Step, case: Case) -> dict[str, Callable[[], object]]:
    """A call for every phase."""
    if case.way == "graphs":
        return {phase: Captured(step, phase) for phase in SHARES}

    def run(phase: str) -> None:
        with step.prepared(case.form):
            step.phases[phase]()

    return {phase: partial(run, phase) for phase in SHARES}


def rate(case: Case, device: torch.device, size: Size, peaks: Peaks) -> dict[str, float]:
    """Images/s, share of the peak and memory; the batch is halved until it fits."""
    setting = size.settings[case.resolution]
    while True:
        try:
            return _rate(case, setting, device, size, peaks)
        except torch.OutOfMemoryError:
            if setting.batch <= 4:
                raise
        torch.cuda.empty_cache()
        setting = setting._replace(batch=setting.batch // 2)


def _rate(case: Case, setting: Setting, device: torch.device, size: Size, peaks: Peaks) -> dict[str, float]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.precision == "TF32"
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        step = Step(
            case.resolution,
            setting,
            case.precision == "bf16",
            True,
            device=device,
            compiled=case.way == "compiled",
            **VARIANTS[case.variant],
        )
        runs = runs_of(step, case)
        seconds = sum(share * seconds_of(runs[phase], device, size.seconds) for phase, share in SHARES.items())
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    flops = flops_of(case.resolution, setting, case.variant)
    work = sum(share * flops[phase] for phase, share in SHARES.items())
    found = {
        "images/s": setting.batch / seconds,
        "batch": setting.batch,
        "TFLOP/s": work / seconds / 1e12,
        "share of peak": work / seconds / peaks(case.precision),
    }
    if device.type == "cuda":
        found["peak MB"] = torch.cuda.max_memory_allocated(device) / 2**20
    return found


def rates(cases: list[Case], device: torch.device, size: Size, peaks: Peaks) -> Iterator[Outcome]:
    """Speeds of some cases."""
    for case in cases:
        if case.way == "graphs" and device.type != "cuda":
            yield case.name, LEFT_OUT, {}, f"CUDA graphs need CUDA, and this is {device.type}"
        else:
            yield measured(case.name, partial(rate, case, device, size, peaks))


def against_textbook(
    resolution: int, device: torch.device, size: Size, peaks: Peaks, turns: int = 3
) -> Iterator[Outcome]:
    """Ours and the textbook form in turns, so that a change in the card's clock meets both alike."""
    found: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
    cases = {form: Case(resolution, "plain", "bf16", form) for form in FORMS}
    try:
        for turn in range(turns):
            for form in FORMS if turn % 2 else reversed(FORMS):
                found[form].append(rate(cases[form], device, size, peaks))
    except Exception as problem:
        yield "ours and the textbook form", FAIL, {}, reason(problem)
        return
    for form, values in found.items():
        middle = {name: statistics.median(value[name] for value in values) for name in values[0]}
        yield cases[form].name, MEASURED, middle, "" if form == "ours" else "operations are those of ours"
    ratios = [ours["images/s"] / usual["images/s"] for ours, usual in zip(found["ours"], found["usual"], strict=True)]
    yield "images/s, ours over the textbook form", MEASURED, {"ratio": statistics.median(ratios)}, ""


def products(resolution: int, device: torch.device, size: Size, peaks: Peaks) -> Iterator[Outcome]:
    """Share of the peak in the time of the convolutions and matrix products alone, adversarial steps in bf16."""
    yield measured(f"{resolution}x{resolution}, bf16, G and D", lambda: _products(resolution, device, size, peaks))


def _products(resolution: int, device: torch.device, size: Size, peaks: Peaks) -> dict[str, float]:
    setting = size.settings[resolution]
    step = Step(resolution, setting, True, True, device=device)
    own = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    spent = {kind: 0.0 for kind in PRODUCTS}
    total, flops = 0.0, flops_of(resolution, setting, "plain")
    for phase in ("G", "D"):
        for _ in range(WARM_UP):
            with step.prepared("ours"):
                step.phases[phase]()
        synchronize(device)
        with profile(activities=activities, record_shapes=True) as profiler, step.prepared("ours"):
            step.phases[phase]()
            synchronize(device)
        for event in profiler.key_averages(group_by_input_shape=True):
            # a kernel is listed by itself too, and counts with the operator that launched it
            if device.type == "cuda" and event.device_type != DeviceType.CPU:
                continue
            seconds = getattr(event, own) / 1e6
            total += seconds
            if (kind := kind_of(event.key, event.input_shapes)) in spent:
                spent[kind] += seconds
    work = flops["G"] + flops["D"]
    inside = sum(spent.values())
    return {
        "of the time": inside / total,
        "TFLOP/s": work / inside / 1e12,
        "share of peak": work / inside / peaks("bf16"),
    }
