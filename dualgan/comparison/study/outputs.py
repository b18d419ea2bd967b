"""The files that sum a study up: results.json, numbers.json, table.md, curves.png and compare.html."""

import json
from collections.abc import Sequence
from pathlib import Path

from dualgan.comparison.page import write
from dualgan.comparison.runs import read_runs
from dualgan.comparison.study.curves import draw_curves
from dualgan.comparison.study.results import numbers, page, results_of
from dualgan.comparison.study.runs import StudyRun
from dualgan.files.atomic import write_whole
from dualgan.pictures.figures import render
from dualgan.pictures.grids import save_png
from dualgan.runs.folder import holds_run
from dualgan.runs.reading import Run

RESULTS, NUMBERS, TABLE = "results.json", "numbers.json", "table.md"
CURVES, PAGE = "curves.png", "compare.html"
PICTURES, PICTURE_SIZE = 3, 320  # sample grids per run on the page, and their longest side: there may be many runs


def write_results(runs: Sequence[StudyRun], out: Path, title: str) -> list[str]:
    """Write the numbers of the runs that are done, and their table; returns the names of the files."""
    results = results_of(runs)
    if not results:
        return []
    write_whole(out / RESULTS, json.dumps(results, indent=1).encode())
    write_whole(out / NUMBERS, (json.dumps(numbers(results), indent=1) + "\n").encode())
    write_whole(out / TABLE, page(title, results).encode())
    return [RESULTS, NUMBERS, TABLE]


def write_figures(runs: Sequence[StudyRun], out: Path) -> list[str]:
    """Draw the curves and make the page of all runs that have begun; returns the names of the files."""
    begun = [run for run in runs if holds_run(run.folder)]
    if not begun:
        return []
    read = read_runs([run.folder for run in begun])
    rows: dict[str, list[Run]] = {}
    for run, found in zip(begun, read, strict=True):
        rows.setdefault(run.row, []).append(found)
    written = []
    if (figure := draw_curves(rows)) is not None:
        save_png(render(figure), out / CURVES)
        written.append(CURVES)
    write(read, out / PAGE, PICTURES, PICTURE_SIZE)
    return [*written, PAGE]
