"""How fast and how large are precision, recall, density and coverage, and how fast are features extracted?

- Precision and recall need three products of all rows with all rows (real with real, generated with generated, real
  with generated); density and coverage two. Each metric is compared with as many plain float32 products of the same
  size, made block by block into a buffer. The peak of this process's memory is printed too.
- Extraction: torch-fidelity's own loop against ours on the same images, with the same Inception-v3 of random weights
  (the speed does not depend on the values), and the embedded EfficientNet-Lite0 beside it.

    python benchmarks/metrics.py --rows 50000
    python benchmarks/metrics.py --part extraction --images 512 --threads 2
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import print_machine
from torch import Tensor

from dualgan.metrics.extractors import EfficientNetLite0, FeatureExtractor, InceptionV3
from dualgan.metrics.functional import density_coverage, precision_recall
from dualgan.runtime.process import flush_denormals, keep_freed_memory

Measured = Callable[[], object]


def seconds(job: Measured, repeats: int = 1) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return min(times)


def products(x: Tensor, count: int) -> None:
    """Plain float32 products of all rows with all rows."""
    block = torch.empty(2**23 // len(x), len(x))
    for _ in range(count):
        for start in range(0, len(x), len(block)):
            rows = x[start : start + len(block)]
            torch.mm(rows, x.T, out=block[: len(rows)])


def manifold(rows: int, dims: int) -> None:
    source = torch.Generator().manual_seed(0)
    # a spectrum like that of Inception's features: few directions hold most of the variance
    scales = torch.arange(1, dims + 1).float().pow(-0.5)
    real = torch.randn(rows, dims, generator=source) * scales
    fake = torch.randn(rows, dims, generator=source) * scales * 0.95
    print(f"{rows} x {rows} rows, {dims} dimensions, {torch.get_num_threads()} threads")
    jobs: tuple[tuple[str, int, Measured], ...] = (
        ("precision_recall", 3, lambda: precision_recall(real, fake)),
        ("density_coverage", 2, lambda: density_coverage(real, fake)),
    )
    for name, count, job in jobs:
        bare, ours = seconds(lambda count=count: products(real, count)), seconds(job)  # type: ignore[misc]
        flops = count * 2 * rows**2 * dims
        print(
            f"  {name}: {ours:.1f} s, {flops / ours / 1e9:.0f} GFLOP/s; {count} float32 products: {bare:.1f} s, "
            f"{flops / bare / 1e9:.0f} GFLOP/s: {100 * bare / ours:.0f} % of their throughput"
        )
    unit = 1 if sys.platform == "darwin" else 1024
    print(f"  peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.2f} GB")


def random_inception(path: Path) -> None:
    """Write random weights in torch-fidelity's format."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    load = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None
    try:
        torch.save({}, path)
        torch.save(FeatureExtractorInceptionV3("random", ["2048"], str(path)).state_dict(), path)
    finally:
        FeatureExtractorInceptionV3.load_state_dict = load


class Images(torch.utils.data.Dataset[Tensor]):
    """What torch-fidelity takes: uint8 [3, H, W] by index."""

    def __init__(self, images: Tensor) -> None:
        self.images = images.permute(0, 3, 1, 2).contiguous()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def extraction(count: int, size: int, batch: int, repeats: int) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.utils import get_featuresdict_from_dataset

    images = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inception.pth"
        random_inception(path)
        theirs = FeatureExtractorInceptionV3("theirs", ["2048"], str(path))
        ours: dict[str, FeatureExtractor] = {
            "InceptionV3": InceptionV3(path),
            "InceptionV3(fast=True)": InceptionV3(path, fast=True),
            "EfficientNetLite0": EfficientNetLite0(),
        }
    wanted: list[Tensor] = []

    def their_loop() -> None:
        wanted[:] = [get_featuresdict_from_dataset(Images(images), theirs, batch, False, False, False)["2048"]]

    base = seconds(their_loop, repeats)
    print(f"{count} images of {size}x{size}, batches of {batch}, {torch.get_num_threads()} threads")
    print(f"  torch-fidelity's loop: {count / base:.2f} images/s")
    for name, extractor in ours.items():
        found: list[Tensor] = []

        def our_loop(extractor: FeatureExtractor = extractor, found: list[Tensor] = found) -> None:
            found[:] = [torch.cat([extractor(part) for part in torch.split(images, batch)])]

        time_taken = seconds(our_loop, repeats)
        difference = ""
        if found[0].shape == wanted[0].shape:
            error = float((found[0] - wanted[0]).norm() / wanted[0].norm())
            difference = ", the same bits" if torch.equal(found[0], wanted[0]) else f", {error:.1e} relative difference"
        print(f"  {name}: {count / time_taken:.2f} images/s, {base / time_taken:.2f} times{difference}")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("manifold", "extraction", "all"), default="all")
    parser.add_argument("--rows", type=int, default=8000, help="rows of both sets")
    parser.add_argument("--dims", type=int, default=2048, help="feature dimensions")
    parser.add_argument("--images", type=int, default=128, help="images to extract features of")
    parser.add_argument("--size", type=int, default=32, help="their side in pixels")
    parser.add_argument("--batch", type=int, default=64, help="images per batch")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each loop; the best counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    print_machine()
    torch.set_num_threads(arguments.threads)
    if arguments.part != "extraction":
        manifold(arguments.rows, arguments.dims)
    if arguments.part != "manifold":
        flush_denormals()  # as every dualgan process does
        keep_freed_memory()
        extraction(arguments.images, arguments.size, arguments.batch, arguments.repeats)


if __name__ == "__main__":
    main()
