"""How fast are packed images, and how fast does `dualgan prepare` make them?

Makes JPEG files of the size of common photographs in a temporary folder and compares, in one run and in turns, so that
a change in the machine's load meets both alike:

- `dualgan prepare` with two processes against the least that any packing needs: Pillow decodes, crops and resizes the
  same files in two processes and throws the pixels away;
- loading batches of the packed set against decoding the JPEG files at every reading, in process and with two workers.

    python benchmarks/loading.py
    python benchmarks/loading.py --images 4000 --repeats 5 --folder /data/tmp
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from machine import print_machine
from PIL import Image

if TYPE_CHECKING:
    from dualgan.data import ImageDataModule

SOURCE_SIZE = (512, 384)
RESOLUTION = 256
BATCH = 32
PROCESSES = 2
RAW_BATCHES = 8


# The packing processes import this file: what they do not need is imported where it is used.


def sets(source: Path, packed: Path, workers: int) -> "dict[str, ImageDataModule]":
    """The JPEG files and the packed set, each with the training loader that every set has."""
    from dualgan.data import ImageFolder

    def opened(root: Path) -> "ImageDataModule":
        return ImageFolder(
            str(root), resolution=RESOLUTION, batch_size=BATCH, num_workers=workers, cache_dir=str(packed.parent)
        )

    return {"JPEG": opened(source), "packed": opened(packed)}


def write_photographs(folder: Path, count: int) -> None:
    """Smooth shapes with some grain: JPEG files of about 60 kB."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        small = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        pixels = np.asarray(small.resize(SOURCE_SIZE, Image.Resampling.BICUBIC), np.int16)
        grain = random.integers(-8, 9, (*pixels.shape[:2], 1), np.int16)
        image = Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))
        image.save(folder / f"{number:06d}.jpg", quality=90)


def shrink(paths: list[Path]) -> int:
    """What cannot be left out: decode, crop the centre, resize."""
    for path in paths:
        image = Image.open(path).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        np.asarray(image.resize((RESOLUTION, RESOLUTION), Image.Resampling.LANCZOS))
    return len(paths)


def bare_pillow(source: Path) -> None:
    paths = sorted(source.iterdir())
    size = max(1, len(paths) // 32)
    shares = [paths[first : first + size] for first in range(0, len(paths), size)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        assert sum(pool.map(shrink, shares)) == len(paths)


def packing(source: Path, folder: Path, repeats: int) -> dict[str, list[float]]:
    """Images/s of both, starting the processes included."""
    from dualgan.data.packed.preparing import prepare

    speeds: dict[str, list[float]] = {"bare Pillow": [], "dualgan prepare": []}
    count = len(list(source.iterdir()))
    for repeat in range(repeats):
        jobs: list[tuple[str, Callable[[], object]]] = [
            ("bare Pillow", lambda: bare_pillow(source)),
            ("dualgan prepare", lambda r=repeat: prepare(source, folder / f"packed{r}", RESOLUTION, workers=PROCESSES)),  # type: ignore[misc]
        ]
        for name, job in jobs if repeat % 2 else reversed(jobs):
            start = time.perf_counter()
            job()
            speeds[name].append(count / (time.perf_counter() - start))
    return speeds


def loading(data: "ImageDataModule", batches: int) -> float:
    """Images/s of a training loader once it runs."""
    loader = iter(data.train_dataloader())
    for _ in islice(loader, 2 * data.num_workers + 1):
        pass
    start = time.perf_counter()
    count = sum(len(batch.images) for batch in islice(loader, batches))
    return count / (time.perf_counter() - start)


def compare(title: str, speeds: dict[str, list[float]]) -> None:
    """Print medians, and the second against the first."""
    (base, ours), medians = speeds, {name: statistics.median(found) for name, found in speeds.items()}
    print(f"{title}: {base} {medians[base]:,.0f}, {ours} {medians[ours]:,.0f} images/s", end="")
    print(f" ({medians[ours] / medians[base]:.2f} times)")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400, help="JPEG files")
    parser.add_argument("--batches", type=int, default=100, help="of the packed set at a time; of JPEG files 8 at most")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each, in turns")
    parser.add_argument("--folder", help="where to put the temporary folder; the system's by default")
    arguments = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder, source = Path(place), Path(place, "source")
        write_photographs(source, arguments.images)
        size = "x".join(map(str, SOURCE_SIZE))
        print(f"{arguments.images} JPEG files of {size} to {RESOLUTION}x{RESOLUTION}, {arguments.repeats} repeats")
        compare(f"packing, {PROCESSES} processes", packing(source, folder, arguments.repeats))
        for workers in (0, PROCESSES):
            both = sets(source, folder / "packed0", workers)
            speeds: dict[str, list[float]] = {name: [] for name in both}
            for _ in range(arguments.repeats):
                for name, data in both.items():
                    batches = min(RAW_BATCHES, arguments.batches) if name == "JPEG" else arguments.batches
                    speeds[name].append(loading(data, batches))
            compare(f"loading, {workers} workers", speeds)


if __name__ == "__main__":
    main()
