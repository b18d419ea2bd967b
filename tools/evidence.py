"""Write docs/evidence.md and docs/experiments/evidence.md: the paper's claims beside what the studies have measured.

Takes the numbers of the studies that are finished, where --studies has them, and makes both pages from these files.

    dualgan study losses.yaml                           # and the others in docs/evidence.md, hours each
    python tools/evidence.py --studies runs/studies     # without --studies: from the numbers in the repository
"""

import argparse
import json
import re
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dualgan.comparison.study.outputs import CURVES, NUMBERS
from dualgan.comparison.study.results import Results, markdown, with_spread
from dualgan.comparison.texts import listed
from dualgan.metrics.names import better
from dualgan.weights.pretrained import pretrained_networks

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "docs" / "experiments" / "claims.yaml"
STUDIES = ROOT / "studies"
SEARCH = "losses_search"

AGREES, DISAGREES, UNDECIDED = "agrees", "disagrees", "undecided"
SEEDS = 3  # of each row, before anything is said of the rows


def numbers_file(docs: Path, study: str) -> Path:
    """Where the numbers of a study lie beside the page that shows them."""
    return docs / "experiments" / f"evidence.{study}.json"


def curves_file(docs: Path, study: str) -> Path:
    """Where the curves of a study lie."""
    return docs / "images" / f"evidence_{study}.png"


def take(studies: Path, docs: Path) -> list[str]:
    """Copy the numbers and curves of the studies that have any; returns the names of these studies."""
    taken = [name for name in names() if (studies / name / NUMBERS).is_file()]
    for name in taken:
        shutil.copyfile(studies / name / NUMBERS, numbers_file(docs, name))
        shutil.copyfile(studies / name / CURVES, curves_file(docs, name))
    return taken


def claims() -> list[dict[str, Any]]:
    """Sections of the page, as claims.yaml has them."""
    found: list[dict[str, Any]] = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))["sections"]
    return found


def names() -> list[str]:
    """Names of the studies: the search, and those that the claims are compared in."""
    return list(dict.fromkeys([SEARCH, *(section["study"] for section in claims())]))


def load(docs: Path) -> dict[str, Results]:
    """Numbers of the studies that have been run, by name."""
    files = {name: numbers_file(docs, name) for name in names()}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}


def of_seeds(runs: Sequence[Mapping[str, Any]], score: str) -> list[float]:
    """A score of each seed."""
    return [float(run[score]) for run in runs]


def change(row: Sequence[float], against: Sequence[float]) -> float:
    """By how much the mean of a row differs, as a share of the other's."""
    return statistics.mean(row) / statistics.mean(against) - 1


def apart(row: Sequence[float], against: Sequence[float]) -> bool:
    """Do all seeds of one row lie on the same side of all seeds of the other?"""
    return max(row) < min(against) or min(row) > max(against)


def published_sign(row: Sequence[float], against: Sequence[float]) -> int:
    """-1 where the row's figure is smaller on most sets, 1 where it is larger, 0 where neither."""
    below = sum(a < b for a, b in zip(row, against, strict=True))
    above = sum(a > b for a, b in zip(row, against, strict=True))
    return (above > below) - (above < below)


def verdict(row: Sequence[float], against: Sequence[float], published: Mapping[str, Sequence[float]] | None) -> str:
    """What our seeds say of a published difference; of none, or of sets that are even, in which direction ours lie."""
    if not apart(row, against) or min(len(row), len(against)) < SEEDS:
        return UNDECIDED
    ours = 1 if change(row, against) > 0 else -1
    sign = 0 if published is None else published_sign(published["row"], published["against"])
    if sign == 0:
        return "larger" if ours > 0 else "smaller"
    return AGREES if sign == ours else DISAGREES


def published_in_words(figures: Mapping[str, Sequence[float]] | None, direction: str) -> str:
    """On how many sets a row is better, and by how much on the median one."""
    if figures is None:
        return "not published"
    pairs = list(zip(figures["row"], figures["against"], strict=True))
    wins = sum(a < b if direction == "lower" else a > b for a, b in pairs)
    middle = statistics.median(a / b - 1 for a, b in pairs)
    return f"better on {wins} of {len(pairs)} sets, median {middle:+.0%}"


def comparison(
    entry: Mapping[str, Any], score: str, figures_of: Mapping[str, Sequence[float]], results: Results
) -> str:
    """A line of a section's table; a study that was stopped has no numbers of some rows yet."""
    row, against = (of_seeds(results.get(entry[name], ()), score) for name in ("row", "against"))
    figures = {side: figures_of[name] for side, name in entry["published"].items()} if "published" in entry else None
    ours = f"{with_spread(row)} against {with_spread(against)} ({change(row, against):+.0%})" if row and against else ""
    cells = [
        f"{entry['row']} against {entry['against']}",
        published_in_words(figures, entry.get("better", better(score))),
        ours or "not run yet",
        str(min(len(row), len(against))),
        verdict(row, against, figures) if ours else UNDECIDED,
    ]
    return f"| {' | '.join(cells)} |"


def short(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def filled(text: str, found: Mapping[str, Results]) -> str:
    """Put numbers in the place of {STUDY/ROW/SCORE}, one for each seed, and of {pretrained/NAME/SCORE}.

    Raises:
        KeyError: There is no such number.
    """

    def number(place: re.Match[str]) -> str:
        source, name, score = place.groups()
        if source == "pretrained":
            return short(pretrained_networks()[name].card()["scores"][score])
        return listed([short(value) for value in sorted(of_seeds(found[source][name], score))])

    return re.sub(r"\{(\w+)/([\w.-]+)/(\w+)\}", number, text.strip())


def section(entry: Mapping[str, Any], found: Mapping[str, Results]) -> Iterator[str]:
    """A claim's section of docs/evidence.md."""
    results = found[entry["study"]]
    yield f"## {entry['title']}\n\n{filled(entry['about'], found)} `dualgan study {entry['study']}.yaml`\n"
    yield f"| {entry['score']} of | Published | Ours | Seeds | Verdict |\n|:--|:--|:--|--:|:--|"
    figures = entry.get("figures", {})
    yield "\n".join(comparison(line, entry["score"], figures, results) for line in entry["comparisons"])
    where = f"Published: {entry['published']}. " if "published" in entry else ""
    yield f"\n{where}What would decide it: {filled(entry['deciding'], found)}\n"


def evidence(found: Mapping[str, Results], intro: str) -> str:
    """docs/evidence.md: the claims whose studies have been run."""
    parts = [intro.strip() + "\n"]
    for entry in claims():
        if entry["study"] in found:
            parts += section(entry, found)
    return "\n".join(parts)


def tables(found: Mapping[str, Results], intro: str) -> str:
    """docs/experiments/evidence.md: all numbers of the studies."""
    parts = [intro.strip() + "\n"]
    for name, results in found.items():
        title = (STUDIES / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        file = numbers_file(Path(), name).name
        parts.append(f"## `{name}.yaml`\n\n{title}. Run by run: [{file}]({file})\n\n{markdown(results)}\n")
        parts.append(f"![Curves of {name}](../images/{curves_file(Path(), name).name})\n")
    return "\n".join(parts)


def pages(docs: Path) -> dict[Path, str]:
    """Both pages as the numbers in a folder make them. What stands above their first section is kept."""
    found = load(docs)
    files = {docs / "evidence.md": evidence, docs / "experiments" / "evidence.md": tables}
    return {file: make(found, file.read_text(encoding="utf-8").partition("\n## ")[0]) for file, make in files.items()}


def main() -> None:
    """Take the numbers of finished studies and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=Path, help="folder of the studies that `dualgan study` has written")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the pages; that of the repository")
    args = parser.parse_args()
    if args.studies is not None:
        taken = take(args.studies, args.docs)
        missing = [name for name in names() if name not in taken]
        print(
            f"Took {', '.join(taken) or 'nothing'}."
            + (f" Without numbers there: {', '.join(missing)}." if missing else "")
        )
    for file, text in pages(args.docs).items():
        file.write_text(text, encoding="utf-8")
        print(f"Wrote {file}")


if __name__ == "__main__":
    main()
