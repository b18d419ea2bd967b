"""A toy study, and processes that have imported already what takes most of the time of a short command."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dualgan.cli.main import main

OPTIONS: dict[str, Any] = {
    "model.generator": "StyleGAN2Generator",
    "model.generator.channel_base": 128,
    "model.generator.z_dim": 16,
    "model.generator.w_dim": 16,
    "model.generator.mapping_layers": 2,
    "model.discriminator": "StyleGAN2Discriminator",
    "model.discriminator.channel_base": 128,
    "model.total_kimg": 0.016,
    "data": "SyntheticCLEVR",
    "data.resolution": 8,
    "data.num_images": 16,
    "data.batch_size": 8,
    "data.num_val": 8,
    "quality.num_fake": 8,
    "samples.rows": 2,
    "samples.columns": 2,
    "trainer.accelerator": "cpu",
}
"""Two steps of eight images at 8x8."""

forks = multiprocessing.get_context("forkserver")
# nothing of "tests": in another folder that might be a package of that name which some dependency has installed
forks.set_forkserver_preload(["dualgan.cli.lightning", "dualgan.callbacks"])


def write_study(rows: Mapping[str, Any], path: str = "toy.yaml", **more: Any) -> Path:
    """Write the file of a study of OPTIONS with some rows."""
    content = {"options": OPTIONS, "rows": dict(rows), "score": {"metrics": ["fid"], "num_fake": 8}, **more}
    Path(path).write_text(yaml.safe_dump(content, sort_keys=False))
    return Path(path)


class Fork:
    """A process that is `dualgan` with some words."""

    def __init__(self, words: Sequence[str], log: Path, variables: Mapping[str, str]) -> None:
        environment = {**os.environ, **variables}
        self.process = forks.Process(target=_body, args=(list(words), str(log.resolve()), environment, Path.cwd()))
        self.process.start()

    def poll(self) -> int | None:
        return self.process.exitcode

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()


def _body(words: list[str], log: str, environment: dict[str, str], folder: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.exit(main(words))
