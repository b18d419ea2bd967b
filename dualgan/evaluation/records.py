"""Scores on disk: the history of a run, and the file of one evaluation."""

import json
from pathlib import Path
from typing import Any

from dualgan.data.cache import write_json
from dualgan.evaluation.run import Evaluation

HISTORY = "metrics.jsonl"


def append_to_history(run_dir: Path, verb: str, kimg: float | None, scores: Evaluation) -> None:
    """Add a line to the run's metrics.jsonl: its values by name, and where they come from.

    Args:
        run_dir: folder of the run; made if it is not there.
        verb: that made the numbers, "fit", "validate", "evaluate", ...
        kimg: thousands of images that the generator was trained on.
        scores: what was measured.
    """
    record = {"kimg": kimg, "verb": verb, **scores.values, "provenance": scores.provenance}
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / HISTORY).open("a") as file:
        file.write(json.dumps(record) + "\n")


def write_scores(path: Path, scores: Evaluation, **more: Any) -> None:
    """Write the values and where they come from as JSON; the file appears whole."""
    write_json(path, {**scores.values, **more, "provenance": scores.provenance})
