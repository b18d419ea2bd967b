"""Which numbers compare: those whose evaluations were alike in all that the metric depends on."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from dualgan.comparison.texts import as_text
from dualgan.files.yaml_text import flatten
from dualgan.metrics.names import SECTION
from dualgan.metrics.table import METRICS, MetricSpec
from dualgan.runs.reading import Run, setting

VERSIONS = ("dualgan_version", "torch_version")
SEED = "seed"
"""Another seed is another sample from the same protocol."""

OF_EXTRACTOR = ("extractor_size", "weight_hash", "extractor_identity")
"""What differs anyway where the extractors do."""

Protocol = dict[str, str]


def protocol(run: Run, provenance: Mapping[str, Any] | None = None, metric: str | None = None) -> Protocol:
    """Settings of an evaluation that its numbers depend on, as texts by name.

    Args:
        run: The run.
        provenance: Where the numbers come from; by default those of the last evaluation.
        metric: The number that is meant, without its section; what only other metrics depend on is left out.
    """
    resolution = setting(run.config, "data", "init_args", "resolution")
    found = {} if resolution is None else {"resolution": resolution}
    found |= run.provenance if provenance is None else provenance
    others = [] if metric is None else [spec for spec in METRICS.values() if not _yields(spec, metric)]
    return {
        name: as_text(value)
        for name, value in flatten(found).items()
        if name not in (*VERSIONS, SEED) and not any(owns(spec, name) for spec in others)
    }


def owns(spec: MetricSpec, name: str) -> bool:
    """Whether a setting of an evaluation is one of this metric alone."""
    prefix = {"paths": "ppl_", "hidden": "fddf_"}.get(spec.source)
    return name in spec.metric.recorded or (prefix is not None and name.startswith(prefix))


def of_one_metric(name: str) -> bool:
    """Whether a setting of an evaluation is there only where a certain metric was measured."""
    return any(owns(spec, name) for spec in METRICS.values())


def _yields(spec: MetricSpec, metric: str) -> bool:
    return any(fnmatchcase(metric, name) for number in spec.numbers for name in number.reported_names)


def comparable_series(run: Run, metric: str) -> list[tuple[float, float]]:
    """Pairs (kimg, value) of those of a run's evaluations that had the protocol of its last one."""
    origins = {
        record.get("kimg"): record.get("provenance") for record in run.scored if metric in record
    }  # the last one of a moment
    last = protocol(run, None, metric)

    def alike(kimg: float) -> bool:
        origin = origins.get(kimg)
        return not isinstance(origin, dict) or protocol(run, origin, metric) == last

    return [(kimg, value) for kimg, value in run.series(SECTION + metric) if alike(kimg)]


def groups(runs: Sequence[Run], metric: str) -> list[list[int]]:
    """Positions of the runs whose numbers of a metric compare with each other, group by group."""
    found: dict[frozenset[tuple[str, str]], list[int]] = {}
    for position, run in enumerate(runs):
        if SECTION + metric in run.columns:
            found.setdefault(frozenset(protocol(run, None, metric).items()), []).append(position)
    return list(found.values())
