"""Configurations from elsewhere name no code, and unfold to no more than they say."""

import sys
from pathlib import Path

import pytest
import yaml

from dualgan.files import yaml_text
from dualgan.files.yaml_text import load_yaml
from dualgan.runs.reading import read_run
from dualgan.runtime.imports import ALLOW
from tests.conftest import DATA, NETWORKS, TINY, RunCLI

EVIL = "hostile_module.Evil"


@pytest.fixture
def module(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that Python would find, and that leaves the mark when it is imported."""
    folder = tmp_path / "modules"
    folder.mkdir()
    code = f"open({str(marker)!r}, 'w')\nclass Evil: pass\n"
    (folder / "hostile_module.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.parametrize(
    "text",
    [
        f"model: {{generator: {{class_path: {EVIL}}}}}",
        f"model: {{discriminator: {EVIL}}}",
        f"model: {{generator: {{class_path: StyleGAN2Generator, init_args: {{attention: {EVIL}}}}}}}",
        f"model: {{loss: {{class_path: {EVIL}}}}}",
        "model: {loss: {class_path: subprocess.Popen, init_args: {args: [touch, executed]}}}",
        "model: {generator: {class_path: os.system}}",
        "model: {loss: {class_path: dualgan.cli.lightning.os.system}}",
        "model: {loss: {class_path: torch.optim.Adam}}",
        f"data: {EVIL}",
        f"data: {{class_path: {EVIL}, init_args: {{root: x}}}}",
        f"trainer: {{callbacks: [{{class_path: {EVIL}}}]}}",
        f"trainer: {{callbacks: {{class_path: pytorch_lightning.callbacks.LambdaCallback, "
        f"init_args: {{on_fit_start: {EVIL}}}}}}}",
        f"trainer: {{logger: [{EVIL}]}}",
        f"trainer: {{strategy: {{class_path: {EVIL}}}}}",
        f"trainer: {{plugins: [{EVIL}]}}",
        f"trainer: {{profiler: {{class_path: {EVIL}}}}}",
        f"trainer: {{accelerator: {{class_path: {EVIL}}}}}",
    ],
)
def test_classes_from_elsewhere_are_not_imported(text: str, run_cli: RunCLI, marker: Path, module: Path) -> None:
    Path("hostile.yaml").write_text(text)
    error = run_cli.fails("fit", *TINY, "--config", "hostile.yaml")
    assert "is not imported: expected" in error
    assert f"set the environment variable {ALLOW}=" in error
    assert "hostile_module" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "model: {total_kimg: !!python/object/apply:os.system ['touch executed']}",
        f"model: {{total_kimg: {{class_path: {EVIL}}}}}",
        f"quality: {{weights: !!python/name:{EVIL}}}",
        f"trainer: {{strategy: {EVIL}}}",
        f"{EVIL}: 1",
    ],
)
def test_nothing_else_in_a_configuration_runs(text: str, run_cli: RunCLI, marker: Path, module: Path) -> None:
    Path("hostile.yaml").write_text(text)
    run_cli.fails("fit", *TINY, "--config", "hostile.yaml")
    assert "hostile_module" not in sys.modules


def test_data_section_of_a_run_names_no_code(run_cli: RunCLI, marker: Path, module: Path, tmp_path: Path) -> None:
    from dualgan.commands.shared.real_images import real_images

    (tmp_path / "config.yaml").write_text(f"data: {{class_path: {EVIL}}}")
    with pytest.raises(ValueError, match=r"config\.yaml: data .* is not imported: expected one of AnimalFace"):
        real_images(str(tmp_path / "config.yaml"), None, 8)
    assert "hostile_module" not in sys.modules


def test_trusted_modules_can_be_allowed(run_cli: RunCLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_losses.py").write_text("from dualgan.losses import Hinge\nclass MyHinge(Hinge): pass\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(ALLOW, "own_losses")
    run_cli.succeeds("fit", *TINY, "--model.loss", "own_losses.MyHinge", "--run_dir", "run")
    assert "own_losses.MyHinge" in Path("run/config.yaml").read_text()
    monkeypatch.setenv(ALLOW, "no module")
    assert f"{ALLOW}='no module'" in run_cli.fails("fit", *TINY)


def test_lightnings_own_classes_work(run_cli: RunCLI) -> None:
    run_cli.succeeds("fit", *TINY, "--run_dir", "run", "--trainer.callbacks+=ModelSummary")
    assert "pytorch_lightning.callbacks.ModelSummary" in Path("run/config.yaml").read_text()


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
TOO_MUCH = {
    "laughs": LAUGHS,
    "cycle": "model: &m {total_kimg: *m}\n",
    "deep": "model: " + "[" * 5000 + "]" * 5000,
    "deep mappings": "model: " + "{a: " * 3000 + "1" + "}" * 3000,
    "long": "model: {a: '" + "x" * yaml_text.MAX_CHARACTERS + "'}",
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_texts_that_unfold_are_refused(name: str, run_cli: RunCLI, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(TOO_MUCH[name])
    error = run_cli.fails("fit", *NETWORKS, *DATA, "--config", "config.yaml")
    assert "config.yaml" in error
    assert any(reason in error for reason in ("unfolds to more than", "nested more than", "more than the 1,048,576"))
    run = read_run(tmp_path, "run")
    assert "config.yaml is damaged: its settings are unknown" in run.problems


def test_ordinary_aliases_work() -> None:
    assert load_yaml("a: &a {x: 1}\nb: [*a, *a]\n") == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 1}]}
    with pytest.raises(yaml.YAMLError):
        load_yaml("a: !!python/object/apply:os.getcwd []")
