"""Processes that are really killed, in the middle of whatever they do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import process_environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "kill_resume.py"


def test_killed_runs_end_with_the_same_bits(tmp_path: Path) -> None:
    words = ["--kimg", "0.2", "--times", "2", "--operations", "2", "--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, PROGRAM, *words],
        env=process_environment(), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall("same bits", done.stdout)) == 3
    named = re.findall(r"^  (?:half|before|after) \S+ \(\d\) +(.*)", done.stdout, re.MULTILINE)
    assert len(named) == 13
    assert all(ended.startswith("killed") for ended in named), done.stdout
