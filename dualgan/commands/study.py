"""`dualgan study`: a table of configurations and seeds, trained and scored in as many sittings as it takes."""

import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from jsonargparse import Namespace

from dualgan.commands import evaluate
from dualgan.commands.shared.verbs import SWITCH, arguments
from dualgan.comparison.study.definition import Score, Study, find_study, option_words, read_study
from dualgan.comparison.study.machine import Place, places
from dualgan.comparison.study.outputs import write_figures, write_results
from dualgan.comparison.study.processes import Outcome, Session
from dualgan.comparison.study.results import SPREAD, results_of, table
from dualgan.comparison.study.runs import StudyRun, check_unchanged, runs_of
from dualgan.comparison.texts import listed
from dualgan.files.atomic import write_whole
from dualgan.files.targets import folder_to_write
from dualgan.metrics.table import check_least, kinds_of, spec_of
from dualgan.runs.reading import setting
from dualgan.terminal.options import parse_seeds
from dualgan.terminal.tables import aligned

COPY, LOCK = "study.yaml", ".lock"
HOUR = 3600.0

ParseFit = Callable[[list[str]], Namespace]


class StudyStoppedError(KeyboardInterrupt):
    """A signal has stopped a study; all its runs are saved."""

    def __init__(self, number: signal.Signals, advice: str) -> None:
        super().__init__(advice)
        self.exit_code, self.advice = 128 + number, advice


def run(
    parse_fit: ParseFit,
    file: str | None = None,
    out: str | None = None,
    hours: float | None = None,
    workers: int | None = None,
    rows: list[str] | None = None,
    seeds: str | None = None,
    dry_run: bool = False,
) -> None:
    """Train and score every row of a study with every seed. The same command goes on where it was stopped.

    Args:
        parse_fit: Settings of a training from words for `dualgan fit`.
        file: The study: a YAML file, or the name of a shipped one, such as limited_faces.yaml.
        out: Folder of the runs, of results.json, numbers.json, table.md, curves.png and compare.html; by default
            runs/studies/NAME.
        hours: Stop all runs after this time, saved, and say what is left.
        workers: Runs at a time: one per GPU by default where there are any, else one per core, each in one thread.
        rows: Only these rows.
        seeds: Only these seeds: numbers and ranges such as 0-2 or 0,3.
        dry_run: Say what is done and what would be run, and run nothing.
    """
    if file is None:
        raise ValueError("study needs a file: 'dualgan study FILE.yaml', such as limited_faces.yaml")
    if hours is not None and not hours >= 0:
        raise ValueError(f"hours {hours:g} is negative: give the time after which all runs are to stop")
    if workers is not None and workers < 1:
        raise ValueError(f"workers {workers} is too small: give the number of runs at a time, 1 or more")
    study = read_study(find_study(file))
    _check_score(study)
    chosen = _chosen(study, rows, seeds)
    folder = folder_to_write(out or Path("runs") / "studies" / study.path.stem)
    all_runs = runs_of(study, folder, lambda words: parse_fit(words).as_dict())
    check_unchanged(all_runs, study.path)
    wanted = [one for one in all_runs if (one.row, one.seed) in chosen]
    if dry_run:
        print(_plan(wanted))
        return
    at = places(workers, all(setting(one.settings, "trainer", "accelerator") == "cpu" for one in wanted))
    deadline = float("inf") if hours is None else time.monotonic() + hours * HOUR
    with _alone_in(folder):
        write_whole(folder / COPY, study.path.read_bytes())
        outcome = _worked_on(wanted, at, deadline)
        _report(study, all_runs, folder)
    _finish(wanted, outcome)


def _check_score(study: Study) -> None:
    """Refuse words for `dualgan evaluate` that it would refuse after the first training."""
    score: Score = study.score
    try:
        given = evaluate.options(["--metrics", *(score.metrics or ["fid"]), *option_words(score.options)])
        shown = {kind: spec_of(kind).name for kind in kinds_of(given["metrics"])}
        check_least(shown, score.num_fake, given["num_real"])
    except ValueError as error:
        raise ValueError(f"{study.path}: score: {error}") from error


def _chosen(study: Study, rows: Sequence[str] | None, seeds: str | None) -> set[tuple[str, int]]:
    for name in rows or ():
        if name not in study.rows:
            close = get_close_matches(name, study.rows, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(study.rows)}"
            raise ValueError(f"{study.path} has no row {name!r}: {hint}")
    numbers = study.seeds if seeds is None else parse_seeds(seeds)
    if others := [seed for seed in numbers if seed not in study.seeds]:
        known = ", ".join(map(str, study.seeds))
        raise ValueError(f"{study.path} has no seed {others[0]}, but {known}: add it to the file's seeds")
    return {(row, seed) for row in rows or study.rows for seed in numbers}


def _plan(runs: Sequence[StudyRun]) -> str:
    """What each run would do next, as text."""
    found = []
    for one in runs:
        words = one.next_command()
        found.append(f"{one.name}: {one.how_far}" + (f"\n  dualgan {shlex.join(words)}" if words else ""))
    return "\n".join(found)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ValueError(
            f"another process works on the study in {folder} right now: wait for its end, or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _worked_on(runs: Sequence[StudyRun], at: Sequence[Place], deadline: float) -> Outcome:
    left = sum(one.next_command() is not None for one in runs)
    if left:
        names = listed([*dict.fromkeys(place.device for place in at)])
        print(f"{left} of {len(runs)} runs are left, {min(left, len(at))} at a time on {names}.", flush=True)
    return Session(runs, at, deadline)()


def _report(study: Study, runs: Sequence[StudyRun], folder: Path) -> None:
    """Write and print what is known."""
    written = write_results(runs, folder, study.path.stem) + write_figures(runs, folder)
    if results := results_of(runs):
        print(f"\n{aligned(table(results))}\n\nScores are {SPREAD} over the seeds; hours are those of one training.")
    if written:
        print(f"Wrote {listed(written)} in {folder}")


def _finish(runs: Sequence[StudyRun], outcome: Outcome) -> None:
    """Say what is left, and end as the session has ended."""
    left = [f"{one.name} ({one.how_far})" for one in runs if one.name not in outcome.failed and one.next_command()]
    said = (
        f"Left: {', '.join(left)}. The same command goes on."
        if left
        else f"Nothing {'else ' if outcome.failed else ''}is left."
    )
    if outcome.failed:
        failed = listed(list(outcome.failed))
        print(f"error: {failed} failed, see above: the same command tries again. {said}", file=sys.stderr)
    if outcome.stopped_by is not None:
        raise StudyStoppedError(outcome.stopped_by, said)
    if outcome.failed:
        raise SystemExit(1)
    print(said)


def main(words: list[str], parse_fit: ParseFit) -> None:
    """Run the command with the words of the command line.

    Args:
        words: What follows the verb.
        parse_fit: Settings of a training from words for `dualgan fit`.
    """
    forms: dict[str, Any] = {
        "file": {"nargs": "?", "metavar": "FILE"},
        "rows": {"nargs": "+", "metavar": "ROW"},
        "dry_run": SWITCH,
    }
    run(parse_fit, **arguments("study", run, words, no_options=["parse_fit"], **forms))
