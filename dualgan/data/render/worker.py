"""Render scenes into a file, in this process or in several.

Workers are fresh interpreters (`python -m dualgan.data.render.worker`) and not forks or multiprocessing children: they
cannot inherit a lock of torch's threads, and scripts without `if __name__ == "__main__"` are safe.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from dualgan.data.render.scene import sample_scene
from dualgan.data.render.tracing import render

_PIXELS_PER_BLOCK = 1 << 17


def render_to_file(path: Path, offset: int, seed: int, count: int, resolution: int, workers: int) -> Iterator[int]:
    """Write the pixels of scenes 0 .. count - 1 into `path` from byte `offset` on; yield how many more are done.

    Raises:
        RuntimeError: When a worker process ends with an error, whose traceback is on stderr.
    """
    blocks = -(-count // _block_size(resolution))
    workers = min(workers, blocks)
    if workers <= 1 or not sys.executable:
        yield from _render_share(path, offset, seed, count, resolution, 0, 1)
        return
    job = [str(path), *map(str, (offset, seed, count, resolution))]
    environment = os.environ | {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    # All workers report through one pipe; short lines are written whole.
    reader, writer = os.pipe()
    processes = []
    try:
        for number in range(workers):
            command = [sys.executable, "-m", "dualgan.data.render.worker", *job, str(number), str(workers)]
            processes.append(subprocess.Popen(command, stdout=writer, env=environment))
        os.close(writer)
        with os.fdopen(reader) as reports:
            yield from map(int, reports)
        if any([process.wait() for process in processes]):
            raise RuntimeError("A rendering process failed; its error is printed above. num_renderers=1 avoids them.")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _block_size(resolution: int) -> int:
    return max(1, _PIXELS_PER_BLOCK // resolution**2)


def _render_share(
    path: Path, offset: int, seed: int, count: int, resolution: int, worker: int, workers: int
) -> Iterator[int]:
    """Render every `workers`-th block, beginning with block number `worker`."""
    size = _block_size(resolution)
    with path.open("r+b") as file:
        for first in range(worker * size, count, workers * size):
            scenes = [sample_scene(seed, index) for index in range(first, min(first + size, count))]
            file.seek(offset + first * resolution**2 * 3)
            file.write(render(scenes, resolution).tobytes())
            yield len(scenes)


def _main(arguments: list[str]) -> None:
    path, *numbers = arguments
    offset, seed, count, resolution, worker, workers = map(int, numbers)
    for done in _render_share(Path(path), offset, seed, count, resolution, worker, workers):
        # One write for the whole line: an unbuffered print makes two, and other workers' lines come between.
        os.write(sys.stdout.fileno(), f"{done}\n".encode())


if __name__ == "__main__":
    _main(sys.argv[1:])
