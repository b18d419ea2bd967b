"""Does a device compute what the CPU and the published implementation compute? Checks of `device_check.py`."""

import contextlib
import copy
import io
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from device_report import FAIL, LEFT_OUT, PASS, Outcome, checked
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.losses import R1, R2, DiscriminatorPenalty, GradientPenalty, PathLength
from dualgan.losses.regularizers import image_gradient, squared_norms
from dualgan.networks.attention import Attention, ReferenceAttention
from dualgan.runtime.precision import without_autocast

sys.path.append(os.fspath(Path(__file__).parents[1]))  # the golden values and tiny trainings are the tests'
from tests.networks.published import PUBLISHED, load
from tests.tiny import Noise, attending_gan, tiny_gan, tiny_trainer
from tests.training.golden_steps import CONFIGS, GOLDEN, losses

aten = torch.ops.aten

GOLDEN_BOUND = 1e-4  # float32, of the largest value
GOLDEN_BF16_BOUND = 5e-2
STEPS_BOUND = 1e-5  # relative, after ten steps in float64
# A rounding error that crosses a leaky ReLU's kink moves a penalty's gradient by up to 1e-3 in float32.
SECOND_BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-2}
ATTENTION_BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-3}
WARM_STEPS, WAITLESS_STEPS = 20, 50


class DrawnOnCPU(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Random numbers come from the CPU's generator on every device, so that all devices meet the same ones."""

    MADE = (
        aten.randn, aten.rand, aten.randint, aten.randperm, aten.randn_like, aten.rand_like, aten.randint_like,
        aten.bernoulli, aten.multinomial, aten.normal,
    )  # fmt: skip
    FILLED = (aten.normal_, aten.uniform_, aten.random_, aten.bernoulli_, aten.exponential_)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [a for a in args if isinstance(a, Tensor)]
        device = kwargs.get("device") or (tensors[0].device if tensors else torch.device("cpu"))
        # the meta device, on which modules are tried out, draws nothing and must not move the CPU's generator
        if device.type in ("cpu", "meta"):
            return func(*args, **kwargs)
        if func.overloadpacket in self.FILLED:
            return args[0].copy_(func(torch.empty_like(args[0], device="cpu"), *args[1:], **kwargs))
        if func.overloadpacket in self.MADE:
            if "device" in kwargs:
                kwargs |= {"device": torch.device("cpu"), "pin_memory": False}
            return func(*(a.cpu() if isinstance(a, Tensor) else a for a in args), **kwargs).to(device)
        return func(*args, **kwargs)


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Without TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def off_by(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value; infinite where something is not finite."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    if not bool(found.isfinite().all()):
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


# --- published values ------------------------------------------------------------------------------------------------


def golden_values(device: torch.device) -> Iterator[Outcome]:
    """Images, logits and penalties of a published implementation."""
    for published in PUBLISHED:
        G, D, expected, labels = load(*published).to(device)
        ws, real = expected["ws"], expected["real"]

        def lengths(G: Any = G, expected: dict[str, Tensor] = expected) -> Tensor:
            own = expected["ws"].clone().requires_grad_()
            noise = expected["pl_noise"] * G.resolution
            return PathLength().path_lengths(G.synthesis(own, noise_mode="const"), own, noise)

        score: Callable[[Tensor], Tensor] = partial(D, labels=labels)
        images: Callable[[], Tensor] = partial(G.synthesis, ws, noise_mode="const")
        found: dict[str, Callable[[], Tensor]] = {
            "ws": partial(G.mapping, expected["z"], labels),
            "images_const": images,
            "logits": lambda score=score, real=real: score(real),  # type: ignore[misc]
            "r1_per_image": lambda score=score, real=real: squared_norms(image_gradient(score, real)),  # type: ignore[misc]
            "path_lengths": lengths,
        }
        for name, run in found.items():
            aim = expected[name].squeeze(1) if name == "logits" else expected[name]
            with exact_float32():
                yield checked(f"{published[0]} {name}, float32", lambda: off_by(run(), aim), GOLDEN_BOUND)  # noqa: B023
            if name in ("images_const", "logits"):
                with torch.autocast(device.type, dtype=torch.bfloat16):
                    yield checked(f"{published[0]} {name}, bf16", lambda: off_by(run(), aim), GOLDEN_BF16_BOUND)  # noqa: B023


def ten_steps(device: torch.device, most: int | None = None) -> Iterator[Outcome]:
    """The losses of ten steps of all or the first configurations, in float64, with the random numbers of the CPU."""
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8"))
    more = "" if device.type == "cpu" else "--trainer.accelerator gpu --trainer.devices 1"
    for name in list(CONFIGS)[:most]:
        yield checked(name, partial(_steps_off_by, name, more, recorded[name]), STEPS_BOUND)


def _steps_off_by(name: str, more: str, expected: list[dict[str, float]]) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"DUALGAN_CACHE": os.fspath(Path(folder) / "cache")}),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.StringIO()),
        DrawnOnCPU(),  # type: ignore[no-untyped-call]
    ):
        found = losses(name, Path(folder) / "run", more)
    if [row.keys() for row in found] != [row.keys() for row in expected]:
        raise ValueError(f"{len(found)} steps with other losses than the {len(expected)} recorded ones")
    pairs = [(row[key], golden[key]) for row, golden in zip(found, expected, strict=True) for key in golden]
    return max(abs(ours - golden) / max(abs(golden), 1e-30) for ours, golden in pairs)


# --- derivatives, against the CPU ------------------------------------------------------------------------------------


def gradients_of(value: Tensor, module: nn.Module) -> Tensor:
    """Gradients of all parameters in a row."""
    found = torch.autograd.grad(value, list(module.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found])


def penalty_gradient(
    penalty: DiscriminatorPenalty | PathLength, gan: GAN, device: torch.device | str, dtype: torch.dtype
) -> Tensor:
    """What a penalty teaches its player on a device."""
    torch.manual_seed(0)
    shape = (4, 3, gan.generator.resolution, gan.generator.resolution)
    real, fake, reference, noise = (torch.randn(shape).to(device, dtype) for _ in range(4))
    z = torch.randn(4, gan.generator.z_dim).to(device, dtype)
    torch.manual_seed(1)
    with without_autocast(torch.device(device).type), DrawnOnCPU():  # type: ignore[no-untyped-call]
        if isinstance(penalty, PathLength):
            G: Any = copy.deepcopy(gan.generator).to(device, dtype)
            ws = G.mapping(z)
            lengths = penalty.path_lengths(G.synthesis(ws), ws, noise)
            return gradients_of(penalty.penalty(lengths, lengths.detach().mean() / 2), G)
        D = copy.deepcopy(gan.discriminator).to(device, dtype)
        own = reference if gan.takes_reference else None
        value = penalty(lambda images: D(images, None, own), real, fake)
        return gradients_of(value, D)


def second_derivatives(device: torch.device) -> Iterator[Outcome]:
    """Gradients of every penalty, without and with attention."""
    for kind, make in (("plain", tiny_gan), ("attention", attending_gan)):
        gan = make(16)
        for penalty in (R1(), R2(), GradientPenalty(), PathLength()):
            for dtype, bound in SECOND_BOUNDS.items():

                def find(p: Any = penalty, gan: GAN = gan, dtype: torch.dtype = dtype) -> float:
                    with exact_float32():
                        return off_by(penalty_gradient(p, gan, device, dtype), penalty_gradient(p, gan, "cpu", dtype))

                yield checked(f"{type(penalty).__name__}, {kind}, {str(dtype)[6:]}", find, bound)


def attention_results(module: Attention, device: torch.device | str, dtype: torch.dtype) -> list[Tensor]:
    """Output, and gradients of the inputs and parameters."""
    module = copy.deepcopy(module).to(device, dtype)
    source = torch.Generator().manual_seed(1)
    x = torch.randn(4, module.channels, 16, 16, generator=source).contiguous(memory_format=torch.channels_last)
    style = torch.randn(2, module.channels, generator=source).to(device, dtype).requires_grad_()
    first, second = (half.detach().requires_grad_() for half in x.to(device, dtype).chunk(2))
    pair = isinstance(module, ReferenceAttention)
    out = module(first, second) if pair else module(first, style)
    wanted = [first, second if pair else style, *module.parameters()]
    weights = torch.randn(out.shape, generator=source).to(device, dtype)
    found = torch.autograd.grad((out * weights).sum(), wanted, allow_unused=True, materialize_grads=True)
    return [out, *found]


def all_attention() -> Iterator[tuple[str, Attention]]:
    """Every module there is, with no parameter at zero: some start there, and would do nothing."""
    for name, kind in sorted(Attention.registry.items()):
        forms: list[dict[str, Any]] = [{}]
        if issubclass(kind, ReferenceAttention):
            forms = [{"sources": sources} for sources in ("eq8", "eq1", "eq2")]
        for options in forms:
            torch.manual_seed(0)
            module = kind(16, **options)
            for parameter in module.parameters():
                if not bool(parameter.any()):
                    nn.init.normal_(parameter, std=0.5)
            yield " ".join([name, *options.values()]), module


def attention(device: torch.device) -> Iterator[Outcome]:
    """Forward and backward of every attention module."""
    for name, module in all_attention():
        for dtype, bound in ATTENTION_BOUNDS.items():

            def find(module: Attention = module, dtype: torch.dtype = dtype) -> float:
                with exact_float32():
                    pairs = zip(
                        attention_results(module, device, dtype), attention_results(module, "cpu", dtype), strict=True
                    )
                    return max(off_by(found, expected) for found, expected in pairs)

            yield checked(f"{name}, {str(dtype)[6:]}", find, bound)


# --- trainings -------------------------------------------------------------------------------------------------------


def on(device: torch.device) -> dict[str, Any]:
    """The trainer's words for a device."""
    return {"accelerator": "gpu" if device.type == "cuda" else device.type, "devices": 1}


def differing(device: torch.device, resumed: bool) -> list[str]:
    """State that differs between two runs of six steps with one seed, the second one maybe in two halves."""
    with tempfile.TemporaryDirectory() as folder:

        def fit(steps: int, **settings: Any) -> tuple[GAN, Trainer]:
            gan, trainer = attending_gan(8, d_reg_interval=2, g_reg_interval=2), tiny_trainer(steps, **on(device))
            data = SyntheticCLEVR(resolution=8, num_images=64, batch_size=8, num_workers=0, cache_dir=folder)
            trainer.fit(gan, datamodule=data, **settings)
            return gan, trainer

        whole, _ = fit(6)
        if resumed:
            path = Path(folder) / "half.ckpt"
            fit(3)[1].save_checkpoint(path)
            other, _ = fit(6, ckpt_path=path, weights_only=True)
        else:
            other, _ = fit(6)
    expected = whole.state_dict()
    return [name for name, value in other.state_dict().items() if not torch.equal(value, expected[name])]


def resume(device: torch.device) -> Iterator[Outcome]:
    """A resumed run has the bits of the uninterrupted one."""
    lost = differing(device, resumed=True)
    if not lost:
        yield "bits of a resumed run", PASS, {}, ""
        return
    again = differing(device, resumed=False)
    told = f"{len(lost)} tensors differ, {lost[0]} first; {len(again)} do between two runs that were not stopped"
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            calm = differing(device, resumed=True)
    finally:
        torch.use_deterministic_algorithms(before)
    named = sorted({str(w.message).partition(" ")[0] for w in said if "deterministic" in str(w.message)})
    told += f"; {len(calm)} do with deterministic algorithms; without such: {', '.join(named) or 'none named'}"
    yield "bits of a resumed run", FAIL, {}, told


class NoWaits(Callback):
    """Lets nothing wait for the device for some steps: CUDA raises an error where something does."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.end, self.seen = first, first + steps, 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.first:
            torch.cuda.set_sync_debug_mode("error")
        if batch_idx == self.end:
            torch.cuda.set_sync_debug_mode("default")
        self.seen += self.first <= batch_idx < self.end


def host_waits(device: torch.device) -> Iterator[Outcome]:
    """Between two log steps the host never waits."""
    name = f"{WAITLESS_STEPS} steps under sync debug mode"
    if device.type != "cuda":
        yield name, LEFT_OUT, {}, f"only CUDA reports waits, and this is {device.type}"
        return
    for kind, make in (("plain", tiny_gan), ("attention", attending_gan)):
        yield checked(f"{name}, {kind}", partial(_waited, device, make), 0)


def _waited(device: torch.device, make: Callable[..., GAN]) -> float:
    """Steps that were not seen; a wait is an error, which goes through."""
    watch, steps = NoWaits(WARM_STEPS, WAITLESS_STEPS), WARM_STEPS + WAITLESS_STEPS + 1
    gan = make(16)
    settings = {**on(device), "callbacks": [watch], "log_every_n_steps": steps, "precision": "bf16-mixed"}
    loader = DataLoader(Noise(gan), batch_size=None, pin_memory=device.type == "cuda")
    try:
        tiny_trainer(steps, **settings).fit(gan, loader)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return WAITLESS_STEPS - watch.seen
