"""`dualgan compare`: runs side by side, as a table and as a page."""

import sys
from collections.abc import Sequence

from dualgan.commands.shared.verbs import command
from dualgan.comparison.differences import comparison_warnings
from dualgan.comparison.page import number, write
from dualgan.comparison.published import PublishedRow, deviations, published_row
from dualgan.comparison.runs import read_runs
from dualgan.comparison.scores import Score, scores
from dualgan.comparison.texts import MISSING, alike, listed
from dualgan.files.targets import file_to_write
from dualgan.metrics.names import better
from dualgan.runs.reading import Run
from dualgan.terminal.tables import aligned

HEADER = ("metric", "run", "kimg", "last", "best", "at kimg", "images/s", "published")


def table(runs: Sequence[Run]) -> str:
    """Last and best score of every metric and run, as aligned text."""
    found = scores(runs)
    rows = [_row(run, entry) for entry in found for run in runs if run.name == entry.run]
    rows += [_row(run, None) for run in runs if run.name not in {entry.run for entry in found}]
    return aligned([[printable(text) for text in row] for row in (HEADER, *rows)], left=2)


def _row(run: Run, entry: Score | None) -> tuple[str, ...]:
    reached = f"{run.kimg or 0:g}" if run.total_kimg is None else f"{run.kimg or 0:g}/{run.total_kimg:g}"
    speed = number(run.images_per_second)
    if entry is None:
        return MISSING, run.name, reached, MISSING, MISSING, MISSING, speed, MISSING
    arrow = {"lower": " ↓", "higher": " ↑", None: ""}[better(entry.metric)]
    few = run.note_on(entry.metric) is not None
    last, best = (number(value, few) for value in (entry.last, entry.best))
    values = (f"{last} (few images)" if few else last, best, number(entry.best_kimg))
    row = published_row(run)
    return (
        entry.metric + arrow,
        run.name,
        reached,
        *values,
        speed,
        number(row.scores.get(entry.metric) if row else None),
    )


def notes(runs: Sequence[Run]) -> list[str]:
    """Warnings about the comparison, and the published rows that runs stand beside, in sentences."""
    found = [f"Warning: {warning}" for warning in comparison_warnings(runs)]
    beside = {run.name: _published(run, row) for run in runs if (row := published_row(run))}
    for text, names in alike(list(beside), list(beside.values())).items():
        found.append(f"{listed(names)} {'stands' if len(names) == 1 else 'stand'} beside {text}")
    return [printable(note) for note in found]


def _published(run: Run, row: PublishedRow) -> str:
    figures = ", ".join(f"{name} {value:g}" for name, value in row.scores.items())
    apart = "; ".join(deviations(run, row))
    warning = f" Warning: not the published protocol: {apart}." if apart else ""
    return f"{row.setting} ({row.where}): {figures}.{warning}"


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
    target = file_to_write(out, [".html", ".htm"])
    found = read_runs(runs)
    print(table(found))
    for note in notes(found):
        print(f"\n{note}")
    size = write(found, target, pictures, picture_size)
    print(f"\nWrote {out} ({size / 1e6:.1f} MB)")


main = command("compare", run, runs={"nargs": "*", "metavar": "RUN"})
