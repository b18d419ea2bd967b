"""How runs differ: settings, and the protocols their numbers were made with."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dualgan.comparison.protocols import OF_EXTRACTOR, SEED, of_one_metric, protocol
from dualgan.comparison.scores import metrics_of
from dualgan.comparison.texts import MISSING, alike, as_text, each, listed
from dualgan.files.yaml_text import flatten
from dualgan.runs.reading import Run

_LONGEST = 24  # characters of a hash or fingerprint in a sentence


def side_by_side(mappings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Leaves of several mappings as texts: name -> one text per mapping, a dash where it has none."""
    flat = [flatten(mapping) if mapping else {} for mapping in mappings]
    names = dict.fromkeys(name for leaves in flat for name in leaves)
    return {name: [as_text(leaves[name]) if name in leaves else MISSING for leaves in flat] for name in names}


def differs(texts: Sequence[str]) -> bool:
    """Whether not all texts are the same."""
    return len(set(texts)) > 1


def comparison_warnings(runs: Sequence[Run]) -> list[str]:
    """What to know before comparing the runs' numbers, in sentences; what holds for several runs is said once."""
    found = _said_once((run.name, problem) for run in runs for problem in run.problems)
    if unscored := [run.name for run in runs if run.rows and not metrics_of(run)]:
        found.append(f"{listed(unscored)} {'has' if len(unscored) == 1 else 'have'} no evaluation yet.")
    found += _said_once((run.name, change) for run in runs for change in _within(run))
    return found + _few(runs) + _between(runs)


def _few(runs: Sequence[Run]) -> list[str]:
    """Numbers that mean little, as few images gave them: in full for one run, in one sentence for several."""
    notes = {run.name: {m: note for m in metrics_of(run) if (note := run.note_on(m))} for run in runs}
    few = {name: found for name, found in notes.items() if found}
    if len(few) == 1:
        ((name, found),) = few.items()
        return [f"{name}: {'; '.join(f'{metric} of {note}' for metric, note in found.items())}."]
    metrics = dict.fromkeys(metric for found in few.values() for metric in found)
    where = "the evaluations' own notes say how many, and how many it takes"
    return [f"{listed(list(few))}: few images gave {', '.join(metrics)}, which mean little ({where})."] if few else []


def _said_once(pairs: Iterable[tuple[str, str]]) -> list[str]:
    found = list(pairs)
    by_text = alike([name for name, _ in found], [text for _, text in found])
    return [f"{listed(names)}: {text}." for text, names in by_text.items()]


def _within(run: Run) -> list[str]:
    """Protocol changes during one run."""
    protocols = [protocol(run, origin) for record in run.scored if isinstance(origin := record.get("provenance"), dict)]
    changed = [name for name, texts in side_by_side(protocols).items() if differs(texts)]
    if not changed:
        return []
    return [
        f"the evaluations differ among themselves in {', '.join(changed)}: the curve has a jump, and best is the best "
        f"of those that are like the last one"
    ]


def _between(runs: Sequence[Run]) -> list[str]:
    scored = [run for run in runs if metrics_of(run)]
    if len(scored) < 2:
        return []
    names = [run.name for run in scored]
    found = []
    if not set.intersection(*(set(metrics_of(run)) for run in scored)):
        found.append("The runs have no metric in common: " + each(names, [", ".join(metrics_of(r)) for r in scored]))
    table = side_by_side([protocol(run) for run in scored])
    if apart := _apart(table):
        # of several settings each is named beside its value
        titles = {name: f"{name} " if len(apart) > 1 else "" for name in apart}
        texts = [
            ", ".join(title + _short(table[name][k]) for name, title in titles.items()) for k in range(len(scored))
        ]
        where = f" in {apart[0]}" if len(apart) == 1 else ""
        do = "do not compare" if len(set(texts)) == len(scored) else "compare only where these are the same"
        found.append(f"Protocols differ{where}: {each(names, texts)} Their metrics {do}.")
    seeds = [as_text(run.provenance[SEED]) if SEED in run.provenance else MISSING for run in scored]
    if differs(seeds):
        found.append(
            f"Evaluations drew different images, by seed: {each(names, seeds)} Small differences may be chance."
        )
    reached = [MISSING if run.kimg is None else f"{run.kimg:g}" for run in scored]
    if differs(reached):
        found.append(f"The runs are not equally long, in kimg: {each(names, reached)}")
    return found


def _apart(table: Mapping[str, list[str]]) -> list[str]:
    """Names of the settings that keep numbers from comparing; one name where several say the same."""

    def told(name: str) -> list[str]:
        # a run that did not measure a metric has no settings of it
        return [text for text in table[name] if text != MISSING or not of_one_metric(name)]

    found = [name for name in table if differs(told(name))]
    return [name for name in found if not ("extractor" in found and name in OF_EXTRACTOR)]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
