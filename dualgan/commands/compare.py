"""`dualgan compare`: runs side by side, as a table and as a page."""

import sys
from collections.abc import Sequence
from pathlib import Path

from dualgan.comparison.differences import MISSING, comparison_warnings
from dualgan.comparison.page import PageOptions, number, write
from dualgan.comparison.published import PublishedRow, deviations, published_row
from dualgan.comparison.runs import read_runs
from dualgan.comparison.scores import Score, scores
from dualgan.metrics.names import better
from dualgan.runs.reading import Run
from dualgan.terminal.options import command_parser
from dualgan.terminal.tables import aligned

HEADER = ("metric", "run", "kimg", "last", "best", "at kimg", "images/s", "published")


def table(runs: Sequence[Run]) -> str:
    """Last and best score of every metric and run, as aligned text."""
    rows = [_row(run, entry) for entry in scores(runs) for run in runs if run.name == entry.run]
    scored = {entry.run for entry in scores(runs)}
    rows += [
        (MISSING, run.name, *_progress(run), *[MISSING] * 3, *_rest(run, None))
        for run in runs
        if run.name not in scored
    ]
    return aligned([[printable(text) for text in row] for row in (HEADER, *rows)], left=2)


def _progress(run: Run) -> tuple[str]:
    reached = "0" if run.kimg is None else f"{run.kimg:g}"
    return (reached if run.total_kimg is None else f"{reached}/{run.total_kimg:g}",)


def _row(run: Run, entry: Score) -> tuple[str, ...]:
    values = (number(entry.last), number(entry.best), number(entry.best_kimg))
    arrow = {"lower": " ↓", "higher": " ↑", None: ""}[better(entry.metric)]
    return (entry.metric + arrow, run.name, *_progress(run), *values, *_rest(run, entry.metric))


def _rest(run: Run, metric: str | None) -> tuple[str, str]:
    row = published_row(run)
    figure = None if row is None or metric is None else row.scores.get(metric)
    return number(run.images_per_second), number(figure)


def notes(runs: Sequence[Run]) -> list[str]:
    """Warnings about the comparison, and the published rows that runs stand beside, in sentences."""
    found = [f"Warning: {warning}" for warning in comparison_warnings(runs)]
    for run in runs:
        row = published_row(run)
        if row is not None:
            found.append(_published_note(run, row))
    return [printable(note) for note in found]


def _published_note(run: Run, row: PublishedRow) -> str:
    figures = ", ".join(f"{name} {value:g}" for name, value in row.scores.items())
    note = f"{run.name} stands beside {row.setting} ({row.where}): {figures}."
    apart = deviations(run, row)
    return note + (f" Warning: not the published protocol: {'; '.join(apart)}." if apart else "")


def printable(text: str) -> str:
    """Text from run folders without what could move the cursor or change colours, or what the terminal cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    harmless = "".join(c if c.isprintable() else "?" for c in text)
    return harmless.encode(encoding, errors="replace").decode(encoding)


def run(runs: list[str], out: str = "compare.html", pictures: int = 12, picture_size: int = 640) -> None:
    """Compare runs: a table here, and one HTML page with curves, samples, settings and where the scores come from.

    Args:
        runs: Folders of runs, such as runs/clevr_demo. They may still be training.
        out: The page. It needs neither network nor other files. An existing one is replaced.
        pictures: Most sample grids per run on the page, evenly spread over the training.
        picture_size: Longest side of a sample grid on the page in pixels; larger ones are reduced.
    """
    if not runs:
        raise ValueError("compare needs folders of runs: 'dualgan compare RUN RUN ...', such as runs/clevr_demo")
    if pictures < 1 or picture_size < 16:
        raise ValueError(f"pictures {pictures} and picture_size {picture_size}: expected at least 1 and 16")
    target = Path(out)
    if target.is_dir():
        raise ValueError(f"out '{out}' is a folder: give the name of a file, such as '{target / 'compare.html'}'")
    found = read_runs(runs)
    print(table(found))
    for note in notes(found):
        print(f"\n{note}")
    size = write(found, target, PageOptions(pictures, picture_size))
    print(f"\nWrote {out} ({size / 1e6:.1f} MB)")


def main(args: list[str]) -> None:
    """Run the command with the words of the command line."""
    parser = command_parser("compare", run, skip={"runs"})
    parser.add_argument("runs", nargs="*", metavar="RUN", help="Folders of runs, such as runs/clevr_demo.")
    run(**parser.parse_args(args).as_dict())
