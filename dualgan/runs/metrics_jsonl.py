"""Scores on disk: the history of a run, and the file of one evaluation."""

import json
from pathlib import Path
from typing import Any

from dualgan.evaluation.result import Evaluation
from dualgan.files.atomic import append_line, write_json, write_whole
from dualgan.runs.folder import HISTORY


def append_to_history(run_dir: Path, verb: str, kimg: float | None, scores: Evaluation) -> None:
    """Add a line to the run's metrics.jsonl: its values by name, notes on them, and where they come from.

    Args:
        run_dir: folder of the run; made if it is not there.
        verb: that made the numbers, "fit", "validate", "evaluate", ...
        kimg: thousands of images that the generator was trained on.
        scores: what was measured.
    """
    record = {"kimg": kimg, "verb": verb, **scores.values, **_context(scores)}
    append_line(run_dir / HISTORY, json.dumps(record))


def forget_after(run_dir: Path, kimg: float) -> None:
    """Remove the training's own lines later than a checkpoint: a resumed run writes them again.

    What other verbs have measured stays. So does everything that is no line of ours, but not a part of a last line.

    Args:
        run_dir: folder of the run.
        kimg: time of the checkpoint; the one at 0 is older than the line of 0.
    """
    path = run_dir / HISTORY
    if not path.is_file():
        return
    found = path.read_bytes()
    *lines, _ = found.split(b"\n")
    kept = b"".join(line + b"\n" for line in lines if not _is_later(line, kimg))
    if kept != found:
        write_whole(path, kept)


def _is_later(line: bytes, kimg: float) -> bool:
    try:
        record = json.loads(line)
        return record["verb"] == "fit" and (kimg == 0 or record["kimg"] > kimg)
    except (ValueError, TypeError, KeyError):
        return False


def write_scores(path: Path, scores: Evaluation, **more: Any) -> None:
    """Write the values, notes on them and where they come from as JSON; the file appears whole."""
    write_json(path, {**scores.values, **more, **_context(scores)})


def _context(scores: Evaluation) -> dict[str, Any]:
    """What stands beside the values."""
    return {"notes": scores.notes, "provenance": scores.provenance}
