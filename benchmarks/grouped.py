"""Does R3GAN's grouped convolution compute as fast as the dense layers beside it?

In a block the grouped 3x3 convolution works on 2 C channels in groups of 16, between 1x1 convolutions from C to 2 C
channels and back, which are plain matrix products. Prints the operations per second of both, forward and backward (the
gradients of input and weight), and the grouped one's share of the dense one's, for each stage of a network; at last,
how much of a block's time the grouped layer takes, and what that would be at the dense layers' speed. One thread; its
own processor time counts, so that other processes disturb little.

    python benchmarks/grouped.py                          # FFHQ-256's stages
    python benchmarks/grouped.py --channels 768 --resolutions 4 8 16 32 --bf16
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from machine import print_machine
from torch import Tensor

from dualgan.networks.convolution import Geometry, convolve, pointwise
from dualgan.networks.pyramid import num_features
from dualgan.networks.r3gan.blocks import CHANNEL_BASE, CHANNEL_MAX, EXPANSION, GROUP_WIDTH, drawn


class Speed(NamedTuple):
    """Operations of a layer, and seconds that its two passes take."""

    operations: float
    forward: float
    backward: float

    @property
    def rates(self) -> tuple[float, float]:
        """GFLOP/s forward and backward; the backward pass has twice the operations."""
        return self.operations / self.forward / 1e9, 2 * self.operations / self.backward / 1e9


def fastest(run: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest of some calls, after one that is not counted."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return max(min(seconds), 1e-9)


def speed(layer: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, repeats: int) -> Speed:
    """Time a layer [N, C, H, W] -> [N, D, H, W] in the type of its tensors."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = layer(x, weight)
    gradient = torch.randn_like(y)

    def backward() -> None:
        torch.autograd.grad(y, (x, weight), gradient, retain_graph=True)

    with torch.no_grad():
        forward = fastest(lambda: layer(x, weight), repeats)
    operations = 2.0 * y[:, :1].numel() * weight.numel()
    return Speed(operations, forward, fastest(backward, repeats))


def stage(channels: int, resolution: int, batch: int, dtype: torch.dtype, repeats: int) -> tuple[Speed, Speed]:
    """Speeds of the grouped layer and of the 1x1 layer before it."""
    inside = EXPANSION * channels
    geometry = Geometry(padding=1, groups=inside // GROUP_WIDTH)

    def maps(width: int) -> Tensor:
        x = torch.randn(batch, width, resolution, resolution, dtype=dtype)
        return x.contiguous(memory_format=torch.channels_last)

    def weights(*shape: int) -> Tensor:
        return drawn(*shape).to(dtype).contiguous(memory_format=torch.channels_last)

    grouped = speed(lambda x, w: convolve(x, w, geometry), maps(inside), weights(inside, GROUP_WIDTH, 3, 3), repeats)
    return grouped, speed(pointwise, maps(channels), weights(inside, channels, 1, 1), repeats)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", nargs="+", type=int, default=[8, 16, 32, 64, 128, 256])
    parser.add_argument("--channels", type=int, help="of every stage; by default those of the published networks")
    parser.add_argument("--pixels", type=int, default=2**13, help="of a batch, that is images times pixels of each")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    print_machine()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dtype = torch.bfloat16 if arguments.bf16 else torch.float32
    print(f"GFLOP/s in {dtype}, one thread")
    print("stage  channels   1x1 forward  backward   grouped forward  share   backward  share   of the block's time")
    for r in arguments.resolutions:
        channels = arguments.channels or num_features(r, CHANNEL_BASE, CHANNEL_MAX)
        batch = max(arguments.pixels // r**2, 1)
        grouped, dense = stage(channels, r, batch, dtype, arguments.repeats)
        (gf, gb), (df, db) = grouped.rates, dense.rates
        own, others = grouped.forward + grouped.backward, 2 * (dense.forward + dense.backward)
        ideal = grouped.operations * (1 / df + 2 / db) / 1e9
        part, least = own / (own + others), ideal / (ideal + others)
        print(
            f"{r:5}  {channels:8}   {df:11.0f}  {db:8.0f}   {gf:15.0f}  {gf / df:5.2f}   {gb:8.0f}  {gb / db:5.2f}   "
            f"{part:.0%}, at the dense speed {least:.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
