"""How much faster is our training step than the usual implementation of StyleGAN2?

Compares two forms of the same networks, with the same parameters and the same results (which is checked first):

- `ours`: `dualgan.networks` as they are. The modulated convolution scales its input and output and shares one weight;
  every derivative of a convolution is one convolution call (`dualgan.networks.convolution`), on a CPU by the fastest
  algorithm for it, as timed in the first turn; D scores real and generated images in one pass.
- `usual`: the textbook form. The modulated convolution builds a weight per sample and runs a grouped convolution;
  derivatives are PyTorch's own; D has a pass for each kind. Real images come in PyTorch's default memory layout
  unless `--channels-last` hands them over as ours get them.

A training step is G's step, D's step, and the lazy penalties by their share: path length (on half of the batch) every
4th step, R1 every 16th. Adam is left out: it costs both forms the same. Both forms run in one process, in turns, so
that a change in the machine's load meets both alike; a phase's time is the median over the repeats. Images/s are the
batch divided by the sum of the phases' times. Each form's peak memory is measured in a process of its own.

    python benchmarks/train_step.py                           # 32x32, 64x64 and 128x128, narrow networks
    python benchmarks/train_step.py --width wide --repeats 3  # channels of config E
    python benchmarks/train_step.py --resolution 32 --repeats 20 --bf16
    python benchmarks/train_step.py --precisions              # ours in float32 and in bfloat16 instead
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from machine import print_machine
from peak_memory import peak_megabytes, print_growth
from step_settings import SETTINGS, SHARES, Setting
from torch import Tensor

import dualgan.networks.layers as layers
import dualgan.networks.stylegan2.generator as stylegan2
from dualgan.losses import R1, NonSaturating, PathLength
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.base import as_heads
from dualgan.networks.convolution import Geometry
from dualgan.networks.cpu.plan import Plan, computed_by
from dualgan.networks.layers import ModulatedConv2d, ToRGB
from dualgan.runtime.process import flush_denormals, keep_freed_memory
from dualgan.training.compilation import passes

FORMS = ("usual", "ours")
PRECISIONS = ("float32", "bfloat16")  # of ours


# --- the usual implementation ----------------------------------------------------------------------------------------


def pytorch_convolve(
    x: Tensor, weight: Tensor, geometry: Geometry, bias: Tensor | None = None, slope: float | None = None
) -> Tensor:
    """Stand-in for `convolve` with PyTorch's own derivatives."""
    operator = F.conv_transpose2d if geometry.transposed else F.conv2d
    y = operator(x, weight, bias, stride=geometry.stride, padding=geometry.padding, groups=geometry.groups)
    return y if slope is None else F.leaky_relu_(y, slope)


def pytorch_pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Stand-in for `pointwise`: a convolution like all others."""
    return F.conv2d(x, weight, bias)


def two_passes(
    self: StyleGAN2Discriminator,
    real: Tensor,
    fake: Tensor,
    labels: None = None,
    reference: Tensor | None = None,
    fake_labels: None = None,
) -> tuple[Tensor, Tensor]:
    """Stand-in for `StyleGAN2Discriminator.pair`: a pass for the real and another for the generated images."""
    return self(real, labels, reference), self(fake, labels, reference)


def grouped_convolution(x: Tensor, weight: Tensor, upsample: bool = False) -> Tensor:
    """Convolve each sample of x [N, C, H, W] with its own weight [N, D, C, k, k], samples as groups of one call."""
    n, c_out, c_in, k, _ = weight.shape
    groups = x.reshape(1, n * c_in, *x.shape[2:])
    if upsample:
        weight = weight.transpose(1, 2).reshape(n * c_in, c_out, k, k).to(x.dtype)
        y = F.conv_transpose2d(groups, weight, stride=2, groups=n)
    else:
        weight = weight.reshape(n * c_out, c_in, k, k).to(x.dtype)
        y = F.conv2d(groups, weight, padding=k // 2, groups=n)
    return y.reshape(n, c_out, *y.shape[2:])


def per_sample_convolution(self: ModulatedConv2d, x: Tensor, w: Tensor) -> Tensor:
    """Stand-in for `ModulatedConv2d.forward`."""
    # StyleGAN2, Eq. 1
    weight = self.weight * self.affine(w)[:, None, :, None, None]
    # StyleGAN2, Eq. 3
    weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt() * self.gain
    y = grouped_convolution(x, weight, upsample=self.fir is not None)
    if self.fir is not None:
        y = self.fir(y)
    return y + (self.bias * self.gain)[:, None, None].to(y.dtype)


def per_sample_colours(self: ToRGB, x: Tensor, w: Tensor, scale: None = None) -> Tensor:
    """Stand-in for `ToRGB.forward`."""
    weight = self.weight * (self.affine(w) * self.weight_gain)[:, None, :, None, None]
    return grouped_convolution(x, weight) + self.bias[:, None, None].to(x.dtype)


@contextmanager
def form(name: str) -> Iterator[None]:
    """Run what is inside in the textbook form, or in ours."""
    if name != "usual":
        yield
        return
    with (
        mock.patch.object(layers, "convolve", pytorch_convolve),
        mock.patch.object(layers, "pointwise", pytorch_pointwise),
        mock.patch.object(ModulatedConv2d, "forward", per_sample_convolution),
        mock.patch.object(ToRGB, "forward", per_sample_colours),
        mock.patch.object(stylegan2, "leaves_scaled", return_value=False),
        mock.patch.object(StyleGAN2Discriminator, "pair", two_passes),
    ):
        yield


# --- the training step -----------------------------------------------------------------------------------------------


class Step:
    """The phases of a training step, without optimizers; options of the networks beyond their sizes may be given."""

    def __init__(
        self,
        resolution: int,
        setting: Setting,
        bf16: bool,
        channels_last: bool,
        generator: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        device: torch.device | str = "cpu",
        compiled: bool = False,
    ) -> None:
        torch.manual_seed(0)
        self.setting, self.device, self.passes = setting, torch.device(device), passes(compiled)
        widths: dict[str, Any] = {"channel_base": setting.channel_base, "channel_max": setting.channel_max}
        self.G = StyleGAN2Generator(
            resolution,
            z_dim=setting.w_dim,
            w_dim=setting.w_dim,
            mapping_layers=setting.mapping_layers,
            **widths,
            **(generator or {}),
        )
        self.D = StyleGAN2Discriminator(resolution, **widths, **(discriminator or {}))
        for name, parameter in self.G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.data.fill_(0.1)
        self.G.to(self.device)
        self.D.to(self.device)
        # drawn on the CPU: the same on every device
        images = torch.randn(setting.batch, 3, resolution, resolution).to(self.device)
        channels_last_images = images.clamp(-1, 1).contiguous(memory_format=torch.channels_last)
        self.images = {
            "usual": channels_last_images if channels_last else channels_last_images.contiguous(),
            "ours": channels_last_images,
        }
        self.real = channels_last_images
        self.reference = torch.randn_like(channels_last_images).clamp(-1, 1) if self.D.takes_reference else None
        self.z = torch.randn(setting.batch, setting.w_dim).to(self.device)
        self.bf16 = bf16
        self.loss, self.r1, self.path_length = NonSaturating(), R1(gamma=1), PathLength()
        self.plan = Plan()
        self.phases: dict[str, Callable[[], None]] = {
            "G": self.generator_step,
            "G path length": self.generator_penalty,
            "D": self.discriminator_step,
            "D R1": self.discriminator_penalty,
        }

    def autocast(self) -> torch.autocast:
        # the meta device, which computes shapes only, has no autocast: the CPU's stands in
        kind = self.device.type if torch.amp.is_autocast_available(self.device.type) else "cpu"
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.bf16)

    def images_of_z(self) -> Tensor:
        return self.passes.synthesize(self.G, self.G.mapping(self.z))

    def generator_step(self) -> None:
        self.D.requires_grad_(False)
        with self.autocast():
            loss = self.loss.generator(*as_heads(self.passes.score(self.D, self.images_of_z(), None, self.reference)))
        torch.autograd.backward(loss)
        self.D.requires_grad_(True)

    def generator_penalty(self) -> None:
        ws = self.G.mapping(self.z[:: self.path_length.batch_shrink])
        images = self.G.synthesis(ws)
        # drawn here: `randn_like` follows the memory layout of the images, in which the forms differ
        lengths = self.path_length.path_lengths(images, ws, torch.randn(images.shape, device=images.device))
        torch.autograd.backward(self.path_length.penalty(lengths, lengths.detach().mean()))

    def discriminator_step(self) -> None:
        with torch.no_grad(), self.autocast():
            fake = self.images_of_z()
        with self.autocast():
            real_logits, fake_logits = self.passes.score_pair(self.D, self.real, fake, None, None, self.reference)
            loss = self.loss.discriminator(*as_heads(real_logits), *as_heads(fake_logits))
        torch.autograd.backward(loss)

    def discriminator_penalty(self) -> None:
        torch.autograd.backward(self.r1(lambda images: self.D(images, None, self.reference), self.real, None))

    @contextmanager
    def prepared(self, name: str) -> Iterator[None]:
        """No gradients, and a form's images and code, or our own in a precision, for what runs inside."""
        self.real = self.images["usual" if name == "usual" else "ours"]
        self.G.zero_grad()
        self.D.zero_grad()
        bf16, self.bf16 = self.bf16, name == "bfloat16" or (self.bf16 and name in FORMS)
        with form(name), computed_by(None if name == "usual" else self.plan):
            yield
        self.bf16 = bf16


def check_equal(step: Step) -> None:
    """Both forms give the same images and, in every phase, the same gradients.

    In float64 they agree to 1e-14. In float32 a rounding error that crosses a leaky ReLU's kink moves a penalty's
    gradient by up to 1e-3, hence the wide tolerance there.
    """
    step.bf16, bf16 = False, step.bf16
    for phase, run in step.phases.items():
        gradients = []
        for name in FORMS:
            torch.manual_seed(1)
            with step.prepared(name):
                run()
            parameters = [*step.G.parameters(), *step.D.parameters()]
            gradients.append(
                torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
            )
        error = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
        assert error < 1e-2, f"{phase}: the forms' gradients differ by {error:.1e}"
    images = []
    for name in FORMS:
        with torch.no_grad(), form(name):
            images.append(step.G(step.z, noise_mode="const"))
    assert torch.allclose(images[0], images[1], rtol=1e-4, atol=1e-5 * images[0].abs().max().item())
    step.bf16 = bf16


def measure_times(step: Step, repeats: int, names: tuple[str, str] = FORMS) -> dict[str, dict[str, float]]:
    """Median seconds of each phase, by form or precision."""
    seconds: dict[str, dict[str, list[float]]] = {name: {phase: [] for phase in SHARES} for name in names}
    for repeat in range(repeats + 1):  # the first one warms up
        for phase, run in step.phases.items():
            for name in names if repeat % 2 else reversed(names):
                with step.prepared(name):
                    start = time.perf_counter()
                    run()
                    elapsed = time.perf_counter() - start
                if repeat:
                    seconds[name][phase].append(elapsed)
    return {name: {phase: statistics.median(s) for phase, s in phases.items()} for name, phases in seconds.items()}


def three_steps(step: Step, name: str) -> None:
    """What peak memory is measured of."""
    for _ in range(3):
        for run in step.phases.values():
            with step.prepared(name):
                run()


def compare(resolution: int, step: Step, repeats: int, memory: dict[str, float], names: tuple[str, str]) -> None:
    """Print one table."""
    if names == FORMS:
        check_equal(step)
    times = measure_times(step, repeats, names)
    precision = "bfloat16, penalties float32" if step.bf16 else "float32"
    told = precision if names == FORMS else "penalties float32"
    threads = torch.get_num_threads()
    print(f"\n{resolution}x{resolution}, {step.setting}, {told}, {threads} threads, {repeats} repeats")
    print_table(step.setting.batch, times)
    if memory:
        print_row("peak MB", memory["usual"], memory["ours"], memory["usual"] / memory["ours"], digits=0)


def print_table(batch: int, times: dict[str, dict[str, float]]) -> None:
    """A row for each phase, both adversarial steps and the whole step."""
    (first, one), (second, other) = times.items()
    print(f"{'':24}{first:>10}{second:>10}{'ratio':>8}")
    for phase, share in SHARES.items():
        often = f" (every {round(1 / share)})" if share < 1 else ""
        print_row(f"{phase} ms{often}", one[phase] * 1e3, other[phase] * 1e3, one[phase] / other[phase])
    adversarial, others = (1e3 * (seconds["G"] + seconds["D"]) for seconds in (one, other))
    print_row("G and D ms", adversarial, others, adversarial / others)
    total, others = (sum(SHARES[phase] * s for phase, s in seconds.items()) for seconds in (one, other))
    print_row("images/s", batch / total, batch / others, total / others)


def print_row(what: str, one: float, other: float, ratio: float, digits: int = 1) -> None:
    print(f"{what:24}{one:10.{digits}f}{other:10.{digits}f}{ratio:8.2f}")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, choices=sorted(SETTINGS["narrow"]), help="default: all of them")
    parser.add_argument("--width", choices=sorted(SETTINGS), default="narrow", help="wide: channels of config E")
    parser.add_argument("--repeats", type=int, default=10, help="timed runs of each phase in each form")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, penalties in float32")
    parser.add_argument("--precisions", action="store_true", help="ours in float32 and bfloat16, not the usual form")
    parser.add_argument("--channels-last", action="store_true", help="hand the usual form channels_last images too")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure peak memory")
    parser.add_argument("--memory-of", choices=FORMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.precisions and (arguments.bf16 or arguments.channels_last):
        parser.error("--precisions compares our own steps in both: leave --bf16 and --channels-last out")
    flush_denormals()
    keep_freed_memory()  # what `dualgan fit` does for itself
    settings = SETTINGS[arguments.width]
    resolutions = [arguments.resolution] if arguments.resolution else sorted(SETTINGS["narrow"])
    if arguments.memory_of is not None:
        setting = settings[arguments.resolution]
        step = Step(arguments.resolution, setting, arguments.bf16, arguments.channels_last)
        print_growth(lambda: three_steps(step, arguments.memory_of))
        return
    print_machine()
    flags = ["--width", arguments.width] + ["--bf16"] * arguments.bf16 + ["--channels-last"] * arguments.channels_last
    names = PRECISIONS if arguments.precisions else FORMS
    measured = FORMS if arguments.memory and names == FORMS else ()
    memory = {
        r: {name: peak_megabytes(__file__, [*flags, f"--resolution={r}", "--memory-of", name]) for name in measured}
        for r in resolutions
    }
    for resolution in resolutions:
        step = Step(resolution, settings[resolution], arguments.bf16, arguments.channels_last)
        compare(resolution, step, arguments.repeats, memory[resolution], names)


if __name__ == "__main__":
    main()
