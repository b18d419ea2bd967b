"""How far long work is, for who watches and for who reads a file."""

import os
import sys

import pytest

from dualgan.runtime import progress
from dualgan.runtime.progress import Progress


def test_a_terminal_shows_a_bar_with_the_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("Evaluating", 20) as shown:
        shown.update(10, "real images")
        shown.bar.refresh()
    out, err = capsys.readouterr()
    assert "Evaluating: real images:  50%" in err
    assert "10/20" in err
    assert not out


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "SECONDS_TO_FIRST_LINE", 0.0)
    with Progress("Evaluating", 5000) as shown:
        for _ in range(4):
            shown.update(500, "real images")
    assert capsys.readouterr().err == "Evaluating: 500 of 5,000 images (real images)\n"


def test_short_work_and_other_processes_say_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(progress.progress(range(3), "Counting", 3)) == [0, 1, 2]
    monkeypatch.setattr(progress, "SECONDS_TO_FIRST_LINE", 0.0)
    with Progress("Evaluating", 10, shown=False) as shown:
        shown.update(10)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_without_a_width_gets_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    monkeypatch.setattr(progress, "SECONDS_TO_FIRST_LINE", 0.0)
    with Progress("Evaluating", 10) as shown:
        shown.update(5)
    assert capsys.readouterr().err == "Evaluating: 5 of 10 images\n"
