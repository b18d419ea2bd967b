"""How much faster and smaller is our SAN layer than its equations written down literally?

Compares two forms of the same module, with the same parameters and the same results (which is checked first):

- `ours`: `dualgan.networks.attention.SAN` as it is. Eq. 5's first layer is a convolution, the values are summed over
  shifted views, and the weights are made one row of the footprint after the other.
- `literal`: Eq. 4-6 as written. Patches of keys and of values are unfolded, two matrix products make the weights of
  all positions, and the values are multiplied with them and summed.

Both have the paper's narrow width: C / 4 keys, queries and weights. A step is forward and backward with gradients for
the input, the style and all parameters. Both forms run in one process, in turns, so that a change in the machine's
load meets both alike; the time is the median over the repeats. Peak memory is measured in a process of each form.

The floor is what the memory allows: the bytes that a step of ours has to read and write if every tensor larger than
a megabyte passes through memory once per use, over the speed of a large copy; and what the arithmetic allows: the
multiply-adds of its convolutions and matrix products over the speed of a large product. Both speeds are measured in
between.

    python benchmarks/attention.py                                   # 512 channels, 32x32, batch 8
    python benchmarks/attention.py --channels 256 --resolution 16 --repeats 10
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from machine import print_machine
from peak_memory import peak_megabytes, print_growth
from torch import Tensor

from dualgan.networks.attention import SAN
from dualgan.networks.attention.base import modulate
from dualgan.networks.layers import LEAKY_GAIN, leaky_relu
from dualgan.runtime.process import flush_denormals

FORMS = ("literal", "ours")
COPY_BYTES = 256 * 2**20
PRODUCT = 1024  # rows and columns of the matrices whose product measures the arithmetic's speed


# --- the literal form ------------------------------------------------------------------------------------------------


def literal(san: SAN, x: Tensor, style: Tensor) -> Tensor:
    """Eq. 4-7 as written, for all positions at once."""
    (n, c, h, w), s = x.shape, san.footprint
    scaled = modulate(x, style)
    # Eq. 4: p = concat(flatten(k), q)
    keys = F.unfold(san.pad(san.key(scaled, style)), s)
    p = torch.cat([keys, san.query(scaled, style).flatten(2)], dim=1)
    # Eq. 5
    m_w1 = torch.cat([san.weights.key_weight.flatten(1), san.weights.query_weight.flatten(1)], dim=1)
    hidden = m_w1 * san.weights.hidden_gain @ p + (san.weights.hidden_bias * LEAKY_GAIN)[:, None]
    m_w2 = san.weights.weight.flatten(1) * san.weights.weight_gain
    weights = m_w2 @ leaky_relu(hidden) + san.weights.bias[:, None]
    # Eq. 6
    values = F.unfold(san.pad(san.value(scaled, style)), s).view(n, 4, c // 4, s * s, h * w)
    out = (weights.view(n, 1, s * s, c // 4, h * w).transpose(2, 3) * values).sum(dim=3)
    # Eq. 7
    return out.view(n, c, h, w) + x


# --- measurement -----------------------------------------------------------------------------------------------------


class Step:
    """Forward and backward of one layer."""

    def __init__(self, channels: int, resolution: int, batch: int) -> None:
        torch.manual_seed(0)
        self.san = SAN(channels)
        x = torch.randn(batch, channels, resolution, resolution).contiguous(memory_format=torch.channels_last)
        self.x, self.style = x.requires_grad_(), torch.randn(batch, channels).add(1).detach().requires_grad_()
        self.dout = torch.randn_like(x)
        self.forms: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "ours": self.san,
            "literal": lambda x, style: literal(self.san, x, style),
        }

    def __call__(self, name: str) -> list[Tensor]:
        """Output and gradients."""
        out = self.forms[name](self.x, self.style)
        return [out, *torch.autograd.grad(out, [self.x, self.style, *self.san.parameters()], self.dout)]

    def forward(self, name: str) -> Tensor:
        with torch.no_grad():
            return self.forms[name](self.x, self.style)

    def check_equal(self) -> None:
        """Both forms give the same output to 1e-5 and the same gradients."""
        for number, (one, other) in enumerate(zip(self("literal"), self("ours"), strict=True)):
            error = float(((one - other).norm() / one.norm()).detach())
            assert error < (1e-5 if number == 0 else 1e-3), f"tensor {number}: the forms differ by {error:.1e}"

    def multiply_adds(self) -> int:
        """Of the convolutions and matrix products in forward and backward, which takes twice as many."""
        parameters = sum(p.numel() for p in self.san.parameters() if p.dim() > 1)
        return 3 * parameters * self.x.numel() // self.x.shape[1]

    def floor_bytes(self) -> int:
        """Traffic of forward and backward over the weights and feature maps; parameters are small beside them.

        Forward: weights are written and read, values read once and the sum written. Backward: weights are read (for
        the values), their gradients written and read by two products; the values, the sum's gradient and the values'
        gradient pass once. The 1x1 convolutions read and write the feature map and its gradients.
        """
        weights = self.x.numel() // 4 * self.san.footprint**2
        return 4 * ((2 + 1 + 3) * weights + (2 + 4 + 6) * self.x.numel())


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(step: Step, repeats: int) -> dict[str, float]:
    """Median seconds of each form, forward alone and with backward, and of the copy."""
    source, square = torch.ones(COPY_BYTES // 4), torch.ones(PRODUCT, PRODUCT)
    target = torch.empty_like(source)
    runs: dict[str, Callable[[], object]] = {
        "copy": lambda: target.copy_(source),
        "product": lambda: square @ square,
    }
    for name in FORMS:
        runs[name] = lambda name=name: step(name)  # type: ignore[misc]
        runs[f"{name} forward"] = lambda name=name: step.forward(name)  # type: ignore[misc]
    found: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):  # the first one warms up
        for name in runs if repeat % 2 else reversed(runs):
            elapsed = seconds(runs[name])
            if repeat:
                found[name].append(elapsed)
    return {name: statistics.median(values) for name, values in found.items()}


def two_steps(step: Step, name: str) -> None:
    """What peak memory is measured of."""
    for _ in range(2):
        step(name)


def report(step: Step, times: dict[str, float], memory: dict[str, float]) -> None:
    """Print the table and the floor."""
    print(f"SAN at {tuple(step.x.shape)}, float32, {torch.get_num_threads()} threads")
    print(f"{'':24}{'literal':>10}{'ours':>10}{'ratio':>8}")
    for label, suffix in (("forward ms", " forward"), ("forward + backward ms", "")):
        usual, ours = times[f"literal{suffix}"] * 1e3, times[f"ours{suffix}"] * 1e3
        print(f"{label:24}{usual:10.0f}{ours:10.0f}{usual / ours:8.2f}")
    if memory:
        usual, ours = memory["literal"], memory["ours"]
        print(f"{'peak MB':24}{usual:10.0f}{ours:10.0f}{usual / ours:8.2f}")
    speed = 2 * COPY_BYTES / times["copy"]
    memory_floor = step.floor_bytes() / speed
    print(f"\nmemory: {step.floor_bytes() / 1e9:.2f} GB at {speed / 1e9:.1f} GB/s = {memory_floor * 1e3:.0f} ms")
    rate = PRODUCT**3 / times["product"]
    product_floor = step.multiply_adds() / rate
    print(f"products: {step.multiply_adds() / 1e9:.1f} GMAC at {rate / 1e9:.1f} GMAC/s = {product_floor * 1e3:.0f} ms")
    print(f"ours takes {times['ours'] / (memory_floor + product_floor):.2f} times the sum of both")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each form")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure peak memory")
    parser.add_argument("--memory-of", choices=FORMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    flush_denormals()
    sizes = (arguments.channels, arguments.resolution, arguments.batch)
    if arguments.memory_of is not None:
        step = Step(*sizes)
        print_growth(lambda: two_steps(step, arguments.memory_of))
        return
    print_machine()
    flags = [f"--{name}={size}" for name, size in zip(("channels", "resolution", "batch"), sizes, strict=True)]
    measured = FORMS if arguments.memory else ()
    memory = {name: peak_megabytes(__file__, [*flags, "--memory-of", name]) for name in measured}
    step = Step(*sizes)
    step.check_equal()
    report(step, measure(step, arguments.repeats), memory)


if __name__ == "__main__":
    main()
