"""Render scenes into a file, in this process or in several."""

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from dualgan.data.render.scene import sample_scene
from dualgan.data.render.tracing import render
from dualgan.runtime.pool import in_processes

_PIXELS_PER_BLOCK = 1 << 17


def render_to_file(path: Path, offset: int, seed: int, count: int, resolution: int, workers: int) -> Iterator[int]:
    """Write the pixels of scenes 0 .. count - 1 into `path` from byte `offset` on; yield how many more are done.

    Raises:
        RuntimeError: When a worker process is killed.
    """
    size = max(1, _PIXELS_PER_BLOCK // resolution**2)
    blocks = [(first, min(first + size, count)) for first in range(0, count, size)]
    try:
        for _, done in in_processes(partial(_render_block, path, offset, seed, resolution), blocks, workers):
            yield done
    except BrokenProcessPool as error:
        raise RuntimeError(
            "A rendering process ended at once: it may have run out of memory. num_renderers=1 needs none."
        ) from error


def _render_block(path: Path, offset: int, seed: int, resolution: int, first: int, end: int) -> int:
    images = render([sample_scene(seed, index) for index in range(first, end)], resolution)
    with path.open("r+b") as file:
        file.seek(offset + first * resolution**2 * 3)
        file.write(images.tobytes())
    return end - first
