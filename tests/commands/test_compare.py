"""`dualgan compare`, on runs that were really trained."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dualgan.commands.compare import printable, table
from dualgan.comparison.runs import read_runs
from tests.conftest import TINY, RunCLI

METRIC = "fd_efficientnet_lite0"


def scores(run: Path) -> list[float]:
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[f"metrics/{METRIC}"]) for row in csv.DictReader(file) if row[f"metrics/{METRIC}"]]


def test_two_runs(run_cli: RunCLI, finished_run: Callable[[], Path], in_empty_folder: Path) -> None:
    one = finished_run()
    run_cli.succeeds("fit", *TINY, "--quality.num_fake", 9, "--run_dir", "other")
    out = run_cli.succeeds("compare", one, "other", "--out", "made/page.html")
    lines = {line.split()[2]: line.split() for line in out.splitlines() if line.startswith(METRIC)}
    for name, folder in (("run", one), ("other", Path("other"))):
        values = scores(folder)
        last, best = (f"{float(f'{value:.2g}'):g}" for value in (values[-1], min(values)))
        assert lines[name][3:7] == ["0.016/0.016", last, "(few", "images)"]
        assert lines[name][7] == best
    assert f"Warning: run and other: few images gave {METRIC}, " in out
    assert (
        "Warning: Protocols differ: run num_fake 8, kernel_subset_size 8; other num_fake 9, kernel_subset_size 9."
        in out
    )
    assert re.search(r"Wrote made/page.html \(\d\.\d MB\)", out)
    page = (in_empty_folder / "made" / "page.html").read_text()
    for folder in (one, Path("other")):
        assert f'data-last="{scores(folder)[-1]}"' in page
    assert page.count('<img class="generated"') == 4
    assert page.count('<img class="real"') == 2


def test_says_what_is_wrong(run_cli: RunCLI, finished_run: Callable[[], Path], in_empty_folder: Path) -> None:
    run = finished_run()
    assert "no run at 'nothing'" in run_cli.fails("compare", "nothing")
    assert "is no run" in run_cli.fails("compare", run / "samples")
    assert "is given twice" in run_cli.fails("compare", run, run)
    assert "is a folder" in run_cli.fails("compare", run, "--out", in_empty_folder)
    assert "pictures 0" in run_cli.fails("compare", run, "--pictures", 0)
    assert "needs folders of runs" in run_cli.fails("compare")
    assert not list(in_empty_folder.glob("*.html"))


def test_a_run_without_scores_has_a_line(finished_run: Callable[[], Path], tmp_path: Path) -> None:
    shutil.copytree(finished_run(), tmp_path / "begun")
    (tmp_path / "begun" / "metrics.csv").write_text("kimg,step\n")
    (tmp_path / "begun" / "speed.csv").unlink()
    text = table(read_runs([finished_run(), tmp_path / "begun"]))
    assert re.search(r"^— +begun +0/0\.016( +—){5}$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\rb", "a\nb", "\u202ereversed"])
def test_names_cannot_steer_the_terminal(text: str) -> None:
    assert printable(text).isprintable()
