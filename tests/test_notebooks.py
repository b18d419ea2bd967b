"""Every notebook runs from top to bottom, and is committed without outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


@every_notebook
def test_runs(path: Path, in_empty_folder: Path, caches: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUALGAN_CKPT", raising=False)
    monkeypatch.setenv("DUALGAN_NOTEBOOK_KIMG", "0.008")
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    notebook = read(path)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)


@every_notebook
def test_is_committed_clean(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.metadata
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert set(notebook.metadata.get("language_info", {})) <= {"name"}


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
