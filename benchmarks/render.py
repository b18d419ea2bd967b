"""Images per second that the SyntheticCLEVR renderer makes: python benchmarks/render.py"""

import argparse
import tempfile
import time
from pathlib import Path

from machine import print_machine

from dualgan.data.arguments import usable_cpus
from dualgan.data.render.worker import render_to_file


def images_per_second(resolution: int, count: int, workers: int) -> float:
    with tempfile.NamedTemporaryFile() as file:
        start = time.perf_counter()
        assert sum(render_to_file(Path(file.name), 0, 0, count, resolution, workers)) == count
        return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=usable_cpus(), help="rendering processes")
    parser.add_argument("--count", type=int, default=2048, help="images at 32x32; 128x128 gets a sixteenth")
    arguments = parser.parse_args()
    print_machine()
    for resolution, count in ((32, arguments.count), (128, max(1, arguments.count // 16))):
        speed = images_per_second(resolution, count, arguments.workers)
        print(f"{resolution}x{resolution}: {speed:.1f} images/s with {arguments.workers} processes, start included")


if __name__ == "__main__":
    main()
