"""The progress bar."""

import sys
from pathlib import Path

import pytest

from tests.conftest import TINY, RunCLI


def test_bar_counts_kimg_on_a_terminal(run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = run_cli.succeeds("fit", *TINY, "--model.total_kimg", 0.02)  # 2.5 batches: the last one goes beyond the end
    assert "kimg" in out.split("Training")[1]
    assert "images/s" in out
    assert "0.020/0.02 kimg" in out
    assert "100%" in out


def test_a_file_gets_lines(run_cli: RunCLI, in_empty_folder: Path) -> None:
    out = run_cli.succeeds("fit", *TINY)
    assert "\r" not in out
    assert "Training: 0.016/0.016 kimg" in out
    assert "images/s" in out


def test_can_be_turned_off(run_cli: RunCLI) -> None:
    assert "Training" not in run_cli.succeeds("fit", *TINY, "--trainer.enable_progress_bar", "false")
