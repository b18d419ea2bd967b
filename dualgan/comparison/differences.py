"""How runs differ: settings, and the protocols their numbers were made with."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dualgan.comparison.scores import metrics_of
from dualgan.files.yaml_text import flatten
from dualgan.runs.reading import Run, setting

MISSING = "—"

_VERSIONS = ("dualgan_version", "torch_version")  # the page shows them; they are no part of a protocol


def as_text(value: Any) -> str:
    """A leaf as YAML would show it; whole numbers look the same with and without a fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def side_by_side(mappings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Leaves of several mappings as texts: name -> one text per mapping, a dash where it has none."""
    flat = [flatten(mapping) if mapping else {} for mapping in mappings]
    names = dict.fromkeys(name for leaves in flat for name in leaves)
    return {name: [as_text(leaves[name]) if name in leaves else MISSING for leaves in flat] for name in names}


def differs(texts: Sequence[str]) -> bool:
    """Whether not all texts are the same."""
    return len(set(texts)) > 1


def comparison_warnings(runs: Sequence[Run]) -> list[str]:
    """What to know before comparing the runs' numbers, in sentences."""
    found = [f"{run.name}: {problem}." for run in runs for problem in run.problems]
    found += [f"{run.name} has no evaluation yet." for run in runs if run.rows and not metrics_of(run)]
    found += [warning for run in runs for warning in (*_few(run), *_within(run))]
    return found + _between(runs)


def _few(run: Run) -> list[str]:
    """Numbers that mean little, as few images gave them."""
    notes = [f"{metric} of {note}" for metric in metrics_of(run) if (note := run.note_on(metric))]
    return [f"{run.name} has {'; '.join(notes)}."] if notes else []


def _within(run: Run) -> list[str]:
    """Protocol changes during one run."""
    origins = [record.get("provenance") or {} for record in run.scored]
    changed = [name for name, texts in side_by_side(origins).items() if differs(texts)]
    if not changed:
        return []
    return [f"{run.name}: its evaluations differ among themselves in {', '.join(changed)}: its curve has a jump."]


def _between(runs: Sequence[Run]) -> list[str]:
    scored = [run for run in runs if metrics_of(run)]
    if len(scored) < 2:
        return []
    found = []
    if not set.intersection(*(set(metrics_of(run)) for run in scored)):
        found.append(
            "The runs have no metric in common: " + _listed(scored, [", ".join(metrics_of(r)) for r in scored])
        )
    protocol = side_by_side([_protocol(run) for run in scored])
    for name, texts in protocol.items():
        if differs(texts):
            found.append(f"Protocols differ in {name}: {_listed(scored, texts)} Their metrics do not compare.")
    reached = [MISSING if run.kimg is None else f"{run.kimg:g}" for run in scored]
    if differs(reached):
        found.append(f"The runs are not equally long, in kimg: {_listed(scored, reached)}")
    return found


def _protocol(run: Run) -> dict[str, Any]:
    resolution = setting(run.config, "data", "init_args", "resolution")
    protocol = {name: value for name, value in run.provenance.items() if name not in _VERSIONS}
    return ({} if resolution is None else {"resolution": resolution}) | protocol


def _listed(runs: Sequence[Run], texts: Sequence[str]) -> str:
    return "; ".join(f"{run.name} {text}" for run, text in zip(runs, texts, strict=True)) + "."
