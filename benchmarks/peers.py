"""How fast is our training step next to the StyleGAN2 packages that PyPI has?

Compares `dualgan`, `stylegan2-torch` and `stylegan2-pytorch` in one process, in turns, at equal numbers of parameters
(generator, mapping and discriminator together, within 3 %): the widths of `stylegan2-pytorch`, whose discriminator is
built differently, are chosen to match. A training step is G's step and D's step, and the lazy penalties by their
share: path length (on half of the batch) every 4th step, R1 every 16th; each with a step of Adam. Every package runs
its own penalties and its own kind of Adam (ours is fused). `stylegan2-torch` knows gray images only and gets them,
and its FIR filter, which exists for CUDA only, is filled in here.

The share of the roof is what the step's convolutions and matrix products would take in floating point operations if
computed directly, divided by its time, relative to a large float32 matrix product on the same threads, measured in
turns with the steps. An algorithm that needs fewer operations counts as a faster one.

    pip install stylegan2-torch stylegan2-pytorch        # a missing one is left out, and the table says so
    python benchmarks/peers.py                           # 32x32, 64x64 and 128x128, narrow networks
    python benchmarks/peers.py --width wide --repeats 3  # channels of config E
    python benchmarks/peers.py --bf16                    # autocast to bfloat16, penalties in float32
"""

import argparse
import importlib
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from flops import count_flops
from machine import print_machine
from peak_memory import peak_megabytes, print_growth
from step_settings import SETTINGS, SHARES, Setting
from torch import Tensor, nn
from torch.optim import Adam

from dualgan.losses import R1, NonSaturating, PathLength
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.cpu.plan import Plan, computed_by
from dualgan.networks.pyramid import block_resolutions, num_features
from dualgan.runtime.process import flush_denormals, keep_freed_memory


class Package(ABC):
    """The four phases of a training step; subclasses say what a package's networks and penalties are called."""

    channels = 3
    fused = False
    plan: Plan | None = None  # of convolutions; PyTorch's own without
    mapping: nn.Module
    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, resolution: int, setting: Setting, bf16: bool) -> None:
        torch.manual_seed(0)
        self.resolution, self.setting, self.bf16 = resolution, setting, bf16
        self.build()
        self.real = torch.rand(setting.batch, self.channels, resolution, resolution) * 2 - 1
        self.loss, self.mean_length = NonSaturating(), torch.zeros(())
        generator = {id(p): p for net in (self.mapping, self.generator) for p in net.parameters()}
        self.adam = [
            Adam(parameters, lr=1e-3, betas=(0.0, 0.99), fused=self.fused or None)
            for parameters in (list(generator.values()), list(self.discriminator.parameters()))
        ]
        self.phases: dict[str, Callable[[], None]] = {
            "G": self.generator_step,
            "G path length": self.generator_penalty,
            "D": self.discriminator_step,
            "D R1": self.discriminator_penalty,
        }

    @classmethod
    def load(cls) -> Any:
        """Import the package; nothing for our own, which is here.

        Raises:
            ImportError: It is not installed, or what it needs is not.
        """
        return None

    @abstractmethod
    def build(self) -> None:
        """Make the networks."""

    @abstractmethod
    def ws(self, count: int) -> Tensor:
        """Styles for every layer of `count` fresh latents: [count, layers, w_dim]."""

    @abstractmethod
    def synthesize(self, ws: Tensor) -> Tensor:
        """Images of styles."""

    @abstractmethod
    def score(self, images: Tensor) -> Tensor:
        """Logits [N] of images."""

    def score_pair(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of real and of generated images."""
        return self.score(real), self.score(fake)

    @abstractmethod
    def r1(self, images: Tensor) -> Tensor:
        """R1 penalty."""

    @abstractmethod
    def path_length(self, ws: Tensor) -> Tensor:
        """Path length penalty."""

    def autocast(self) -> torch.autocast:
        """Precision of the adversarial phases."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16)

    def num_parameters(self) -> int:
        """Trainable parameters of both players."""
        return sum(p.numel() for adam in self.adam for group in adam.param_groups for p in group["params"])

    def run(self, phase: str) -> None:
        """One phase as it is timed."""
        with computed_by(self.plan):
            self.phases[phase]()

    def step(self, player: int, loss: Tensor) -> None:
        """Backpropagate and move one player."""
        torch.autograd.backward(loss)
        self.adam[player].step()
        self.adam[player].zero_grad()

    def generator_step(self) -> None:
        """G's adversarial step."""
        self.discriminator.requires_grad_(False)
        with self.autocast():
            loss = self.loss.generator(self.score(self.synthesize(self.ws(self.setting.batch))).float())
        self.step(0, loss)
        self.discriminator.requires_grad_(True)

    def generator_penalty(self) -> None:
        """G's path length penalty on half of the batch."""
        self.step(0, self.path_length(self.ws(self.setting.batch // 2)))

    def discriminator_step(self) -> None:
        """D's adversarial step."""
        with self.autocast():
            with torch.no_grad():
                fake = self.synthesize(self.ws(self.setting.batch))
            real_logits, fake_logits = self.score_pair(self.real, fake)
            loss = self.loss.discriminator(real_logits.float(), fake_logits.float())
        self.step(1, loss)

    def discriminator_penalty(self) -> None:
        """D's R1 penalty."""
        self.step(1, self.r1(self.real))


class Ours(Package):
    """This package."""

    fused = True

    def build(self) -> None:
        base, widest, w_dim, layers, _ = self.setting
        widths: dict[str, Any] = {"channel_base": base, "channel_max": widest}
        self.generator = StyleGAN2Generator(self.resolution, z_dim=w_dim, w_dim=w_dim, mapping_layers=layers, **widths)
        self.mapping = self.generator.mapping
        self.discriminator = StyleGAN2Discriminator(self.resolution, **widths)
        self.generator.to(memory_format=torch.channels_last)
        self.discriminator.to(memory_format=torch.channels_last)
        self.penalty, self.lengths = R1(gamma=1), PathLength()
        self.plan = Plan()

    def ws(self, count: int) -> Tensor:
        ws: Tensor = self.mapping(torch.randn(count, self.setting.w_dim))
        return ws

    def synthesize(self, ws: Tensor) -> Tensor:
        images: Tensor = self.generator.synthesis(ws)  # type: ignore[operator]
        return images

    def score(self, images: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(images)
        return logits

    def score_pair(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        real_logits, fake_logits = self.discriminator.pair(real, fake)  # type: ignore[operator]
        return real_logits, fake_logits

    def r1(self, images: Tensor) -> Tensor:
        return self.penalty(self.discriminator, images, None)

    def path_length(self, ws: Tensor) -> Tensor:
        return self.lengths.penalty(self.lengths.path_lengths(self.synthesize(ws), ws), self.mean_length)


def upfirdn2d(
    x: Tensor,
    kernel: Tensor,
    up_x: int,
    up_y: int,
    down_x: int,
    down_y: int,
    left: int,
    right: int,
    top: int,
    bottom: int,
) -> Tensor:
    """Upsample maps [M, 1, H, W] with zeros, pad, filter and downsample: the fastest of three ways on our CPU."""
    m, _, h, w = x.shape
    if up_x > 1 or up_y > 1:
        wide = x.new_zeros(m, h, up_y, w, up_x)
        wide[:, :, 0, :, 0] = x[:, 0]
        x = wide.view(m, 1, h * up_y, w * up_x)
    maps = F.pad(x, (left, right, top, bottom)).transpose(0, 1)
    # no autocast in backward: derivatives of bfloat16 maps come as bfloat16, beside a float32 kernel
    weight = kernel.to(maps.dtype).flip(0, 1).expand(m, 1, *kernel.shape)
    return F.conv2d(maps, weight, stride=(down_y, down_x), groups=m).transpose(0, 1)


class StyleGAN2Torch(Package):
    """The package stylegan2-torch: config F's architecture, grouped convolutions, gray images."""

    channels = 1

    @classmethod
    def load(cls) -> Any:
        # On import it compiles CUDA extensions. On a CPU it uses one function of them only, which it gets from here.
        extension = mock.Mock(upfirdn2d=upfirdn2d)
        with mock.patch("torch.utils.cpp_extension.load", return_value=extension):
            return importlib.import_module("stylegan2_torch")

    def build(self) -> None:
        self.package = self.load()
        base, widest, w_dim, layers, _ = self.setting
        widths = {r: num_features(r, base, widest) for r in block_resolutions(self.resolution)}
        self.generator = self.package.Generator(self.resolution, latent_dim=w_dim, n_mlp=layers, channels=widths)
        self.mapping = self.generator.mapping  # type: ignore[assignment]
        self.discriminator = self.package.Discriminator(self.resolution, channels=widths)

    def ws(self, count: int) -> Tensor:
        w: Tensor = self.mapping(torch.randn(count, self.setting.w_dim))
        layers: Any = self.generator.n_w_plus
        return w.unsqueeze(1).repeat(1, layers, 1)

    def synthesize(self, ws: Tensor) -> Tensor:
        images: Tensor = self.generator([ws], input_type="w_plus")
        return images

    def score(self, images: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(images)
        return logits.squeeze(1)

    def r1(self, images: Tensor) -> Tensor:
        images = images.clone().requires_grad_()
        penalty: Tensor = self.package.d_reg_loss(self.score(images), images)
        return penalty

    def path_length(self, ws: Tensor) -> Tensor:
        penalty: Tensor = self.package.g_reg_loss(self.synthesize(ws), ws, self.mean_length)[0]
        return penalty


class StyleGAN2PyTorch(Package):
    """The package stylegan2-pytorch: grouped convolutions, bilinear upsampling, three convolutions per block of D."""

    @classmethod
    def load(cls) -> Any:
        # On import it insists on a GPU, which its networks do not need.
        with mock.patch("torch.cuda.is_available", return_value=True):
            return importlib.import_module("stylegan2_pytorch.stylegan2_pytorch")

    def build(self) -> None:
        self.package = self.load()
        base, widest, w_dim, layers, _ = self.setting
        self.mapping = self.package.StyleVectorizer(w_dim, layers)
        narrowest = num_features(self.resolution, base, widest)
        wanted = Ours(self.resolution, self.setting, False).num_parameters()
        candidates = range(16, 2 * widest + 1, 4)
        _, width = min((abs(self.make(narrowest, width) - wanted), width) for width in candidates)
        self.make(narrowest, width, "cpu")

    def make(self, narrowest: int, widest: int, device: str = "meta") -> int:
        """Make both networks; returns their number of parameters."""
        with torch.device(device):
            sizes: dict[str, Any] = {"fmap_max": widest}
            self.generator = self.package.Generator(
                self.resolution, self.setting.w_dim, network_capacity=max(narrowest // 2, 1), **sizes
            )
            self.discriminator = self.package.Discriminator(
                self.resolution, network_capacity=max(narrowest // 4, 1), **sizes
            )
        networks = (self.mapping, self.generator, self.discriminator)
        return sum(p.numel() for network in networks for p in network.parameters())

    def ws(self, count: int) -> Tensor:
        w: Tensor = self.mapping(torch.randn(count, self.setting.w_dim))
        layers: Any = self.generator.num_layers
        return w[:, None].expand(-1, layers, -1)

    def synthesize(self, ws: Tensor) -> Tensor:
        images: Tensor = self.generator(ws, torch.rand(len(ws), self.resolution, self.resolution, 1))
        return images

    def score(self, images: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(images)[0]
        return logits

    def r1(self, images: Tensor) -> Tensor:
        images = images.clone().requires_grad_()
        penalty: Tensor = self.package.gradient_penalty(images, self.score(images))
        return penalty

    def path_length(self, ws: Tensor) -> Tensor:
        lengths: Tensor = self.package.calc_pl_lengths(ws, self.synthesize(ws))
        return (lengths - self.mean_length).square().mean()


PACKAGES: dict[str, type[Package]] = {
    "dualgan": Ours,
    "stylegan2-torch": StyleGAN2Torch,
    "stylegan2-pytorch": StyleGAN2PyTorch,
}


def installed() -> list[str]:
    """The packages that can be imported; says of the others why not."""
    found = []
    for name, package in PACKAGES.items():
        try:
            package.load()
            found.append(name)
        except ImportError as error:
            print(f"{name} is left out: {error}. pip install {name}")
    return found


def matmul_rate(n: int = 1536) -> float:
    """Floating point operations per second of a float32 matrix product."""
    a, b = torch.randn(2, n, n).unbind()
    start = time.perf_counter()
    torch.mm(a, b)
    return 2 * n**3 / (time.perf_counter() - start)


def measure(packages: dict[str, Package], repeats: int) -> tuple[dict[str, dict[str, float]], float]:
    """Median seconds of each phase by package, and the median rate of the matrix products in between."""
    seconds: dict[str, dict[str, list[float]]] = {name: {phase: [] for phase in SHARES} for name in packages}
    rates = []
    for repeat in range(repeats + 1):  # the first one warms up
        for phase in SHARES:
            rate = matmul_rate()
            for name in list(packages) if repeat % 2 else reversed(packages):
                start = time.perf_counter()
                packages[name].run(phase)
                elapsed = time.perf_counter() - start
                if repeat:
                    seconds[name][phase].append(elapsed)
            if repeat:
                rates.append(rate)
    times = {name: {phase: statistics.median(s) for phase, s in phases.items()} for name, phases in seconds.items()}
    return times, statistics.median(rates)


def per_step(phases: dict[str, float]) -> float:
    """Sum of the phases, each by its share."""
    return sum(SHARES[phase] * value for phase, value in phases.items())


def three_steps(package: Package) -> None:
    """What peak memory is measured of."""
    for _ in range(3):
        for phase in package.phases:
            package.run(phase)


def row(label: str, values: Iterable[str]) -> None:
    """Print one line of a table."""
    print(f"{label:28}" + "".join(f"{value:>20}" for value in values))


def compare(resolution: int, setting: Setting, names: list[str], bf16: bool, repeats: int, peaks: list[float]) -> None:
    """Print one table."""
    packages = {name: PACKAGES[name](resolution, setting, bf16) for name in names}
    times, roof = measure(packages, repeats)
    totals = {name: per_step(phases) for name, phases in times.items()}
    flops = {
        name: per_step({phase: count_flops(run) for phase, run in package.phases.items()})
        for name, package in packages.items()
    }
    precision = "bfloat16, penalties float32" if bf16 else "float32"
    print(f"\n{resolution}x{resolution}, {setting}, {precision}, {torch.get_num_threads()} threads, {repeats} repeats")
    row("", names)
    row("parameters", (f"{package.num_parameters():,}" for package in packages.values()))
    for phase, share in SHARES.items():
        often = f" (every {round(1 / share)})" if share < 1 else ""
        row(f"{phase} ms{often}", (f"{times[name][phase] * 1e3:.1f}" for name in names))
    row("images/s", (f"{setting.batch / totals[name]:.2f}" for name in names))
    row("ours is faster by", (f"{totals[name] / totals['dualgan']:.2f}" for name in names))
    row("GFLOP per step", (f"{flops[name] / 1e9:.1f}" for name in names))
    row(f"share of {roof / 1e9:.0f} GFLOP/s", (f"{flops[name] / totals[name] / roof:.0%}" for name in names))
    if peaks:
        row("peak MB", (f"{peak:.0f}" for peak in peaks))


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, choices=sorted(SETTINGS["narrow"]), help="default: all of them")
    parser.add_argument("--width", choices=sorted(SETTINGS), default="narrow", help="wide: channels of config E")
    parser.add_argument("--repeats", type=int, default=10, help="timed runs of each phase of each package")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, penalties in float32")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure peak memory")
    parser.add_argument("--memory-of", choices=PACKAGES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    flush_denormals()
    settings = SETTINGS[arguments.width]
    if arguments.memory_of is not None:
        package = PACKAGES[arguments.memory_of](arguments.resolution, settings[arguments.resolution], arguments.bf16)
        print_growth(lambda: three_steps(package))
        return
    print_machine()
    names = installed()
    resolutions = [arguments.resolution] if arguments.resolution else sorted(SETTINGS["narrow"])
    flags = ["--width", arguments.width] + ["--bf16"] * arguments.bf16
    measured = names if arguments.memory else []
    peaks = {
        r: [peak_megabytes(__file__, [*flags, f"--resolution={r}", "--memory-of", name]) for name in measured]
        for r in resolutions
    }
    keep_freed_memory()  # for all of them: what `dualgan fit` does for itself
    for resolution in resolutions:
        compare(resolution, settings[resolution], names, arguments.bf16, arguments.repeats, peaks[resolution])


if __name__ == "__main__":
    main()
