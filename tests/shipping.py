"""The programs of tools/, and entries of the networks that come with the package, made as a maintainer makes them."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from dualgan.cli.main import main

TOOLS = Path(__file__).parents[1] / "tools"


def tool(name: str = "add_pretrained") -> ModuleType:
    """A program of tools/; by default the one that makes entries."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for the names in annotations
    spec.loader.exec_module(module)
    return module


def command_of(run: Path) -> str:
    """The command that repeats a run."""
    return f"dualgan fit --config {run / 'config.yaml'}"


def score(run: Path) -> None:
    """Measure a run, so that its folder has scores."""
    few = ["--num_fake", "8", "--num_real", "8", "--device", "cpu"]
    assert main(["evaluate", "--ckpt", str(run), "--metrics", "fid", "pr", *few]) == 0


def words_for(run: Path, name: str) -> list[str]:
    """Words of the program for a run that has been scored."""
    return [str(run), name, "--command", command_of(run), "--about", "A tiny one", "--machine", "A CPU"]


def add_entry(run: Path, name: str, folder: Path, *more: str) -> None:
    """Score a run and make an entry of it."""
    score(run)
    with patch("dualgan.weights.pretrained.FOLDER", folder):
        tool().main([*words_for(run, name), *more])
