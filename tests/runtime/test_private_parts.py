"""After an upgrade of a library: what is used of it without a promise is still there, and nothing else is used."""

import ast
import inspect
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningCLI

import dualgan
from dualgan.cli.lightning import DualGANCLI
from dualgan.runtime import private_parts
from dualgan.runtime.private_parts import ELSEWHERE, LIGHTNING_CLI, LIGHTNING_CLI_USED

HERE = Path(private_parts.__file__)
DOCUMENTED = {"_asdict", "_exit"}  # of NamedTuple and os


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return Trainer(default_root_dir=tmp_path, logger=False, enable_checkpointing=False, accelerator="cpu")


@pytest.mark.parametrize("name", [*LIGHTNING_CLI, *LIGHTNING_CLI_USED])
def test_lightnings_command_line_has_the_method(name: str) -> None:
    theirs, ours = getattr(LightningCLI, name, None), getattr(DualGANCLI, name)
    assert theirs is not None, f"LightningCLI.{name} is gone: {(LIGHTNING_CLI | LIGHTNING_CLI_USED)[name]}"
    assert list(inspect.signature(theirs).parameters) == list(inspect.signature(ours).parameters)


def test_all_overridden_private_methods_are_listed() -> None:
    overridden = {
        name for name in vars(DualGANCLI) if name[:1] == "_" and name[:2] != "__" and hasattr(LightningCLI, name)
    }
    assert overridden == set(LIGHTNING_CLI)


@pytest.mark.parametrize(
    "path",
    [
        "_accelerator_connector.cluster_environment",
        "_signal_connector.register_signal_handlers",
        "fit_loop.epoch_loop._broadcast_sigterm_tensor",
        "fit_loop.epoch_loop._batches_that_stepped",
        "fit_loop.epoch_loop.batch_progress.total.ready",
        "fit_loop.epoch_loop.batch_progress.total.completed",
    ],
)
def test_the_trainer_has(path: str, trainer: Trainer) -> None:
    found: object = trainer
    for name in path.split("."):
        assert hasattr(found, name), f"Trainer.{path} of pytorch-lightning is gone: see {HERE}"
        found = getattr(found, name)


def test_lightning_calls_what_is_switched_off() -> None:
    source = inspect.getsource(import_module("pytorch_lightning.trainer.trainer"))
    assert "_signal_connector.register_signal_handlers()" in source
    source = inspect.getsource(import_module("pytorch_lightning.loops.training_epoch_loop"))
    assert "self._broadcast_sigterm_tensor()" in source
    source = inspect.getsource(import_module("pytorch_lightning.trainer.connectors.logger_connector.logger_connector"))
    assert "_batches_that_stepped" in source


@pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed")
def test_gradio_leaves_out_what_lies_in_no_file(tmp_path: Path) -> None:
    code = """
import inspect
from unittest.mock import patch
from dualgan.runtime.private_parts import no_stubs_of_gradio
before = inspect.getfile
with no_stubs_of_gradio(), patch("ast.get_source_segment") as read:
    import gradio
assert inspect.getfile is before and inspect.getfile(gradio.Image)
print("stubs:", read.call_count)
"""
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout == "stubs: 0\n", done.stderr


@pytest.mark.parametrize("path", ELSEWHERE)
def test_parts_used_elsewhere_are_there(path: str) -> None:
    owner, name = path.split(".")
    owners = {"torch": torch, "mkldnn": torch.ops.mkldnn, "efficientnet": EfficientNet.from_name("efficientnet-lite0")}
    assert hasattr(owners[owner], name), f"{path} is gone: {ELSEWHERE[path]}"


def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def used(path: Path) -> set[str]:
    """Private attributes that a module looks up."""
    names = {node.attr for node in nodes_of(path) if isinstance(node, ast.Attribute)}
    return {name for name in names if name[:1] == "_" and name[:2] != "__"}


def own(path: Path) -> set[str]:
    """Names that a module gives: functions, variables, and attributes of itself."""
    names = set()
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
    return names


def test_no_other_private_part_is_used() -> None:
    modules = [path for path in Path(dualgan.__file__).parent.rglob("*.py") if path != HERE]
    known = set().union(*map(own, modules)) | DOCUMENTED | {path.rpartition(".")[2] for path in ELSEWHERE}
    known |= LIGHTNING_CLI_USED.keys()
    foreign = {f"{path.name}: {name}" for path in modules for name in used(path) - known}
    assert not foreign, f"move these into {HERE}, with the reason"
