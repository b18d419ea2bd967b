"""metrics.csv and metrics.jsonl in the hands of kills, full disks and resumed runs."""

import csv
import errno
import json
from pathlib import Path

import pytest

from dualgan.evaluation.result import Evaluation
from dualgan.runs import metrics_csv as metrics_file
from dualgan.runs.metrics_csv import MetricsFile
from dualgan.runs.metrics_jsonl import append_to_history, forget_after


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def written(folder: Path, count: int = 3) -> MetricsFile:
    file = MetricsFile(folder)
    for k in range(count):
        file.log_metrics({"kimg": k / 8, "loss": 0.1 * k}, step=k)
        file.save()
    return file


def test_rows_of_an_earlier_part_stay_as_they_are(tmp_path: Path) -> None:
    written(tmp_path)
    before = (tmp_path / "metrics.csv").read_bytes()
    MetricsFile(tmp_path).keep(3, kimg=0.25)
    assert (tmp_path / "metrics.csv").read_bytes() == before
    assert len(rows(tmp_path)) == 3


def test_part_of_a_row_is_removed_by_the_next_start(tmp_path: Path) -> None:
    written(tmp_path)
    whole = (tmp_path / "metrics.csv").read_bytes()
    (tmp_path / "metrics.csv").write_bytes(whole + b"0.375,0.3000")
    again = MetricsFile(tmp_path)
    again.keep(3, kimg=0.25)
    assert (tmp_path / "metrics.csv").read_bytes() == whole
    assert again.written == 3


def test_kill_between_two_forms_of_the_table_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)
    before = (tmp_path / "metrics.csv").read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: 1 / 0)  # the process ends before the new table has its name
    file.log_metrics({"kimg": 1.0, "a new column": 1.0}, step=3)
    with pytest.raises(ZeroDivisionError):
        file.save()
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_row_that_a_full_disk_cut_off_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)

    def full(path: Path, content: bytes) -> None:
        path.write_bytes(path.read_bytes() + content[:4])
        raise OSError(errno.ENOSPC, "No space left on device")

    file.log_metrics({"kimg": 1.0, "loss": 2.0}, step=3)
    with monkeypatch.context() as patch:
        patch.setattr(metrics_file, "append", full)
        with pytest.raises(OSError, match="No space"):
            file.save()
    file.save()
    assert [row["kimg"] for row in rows(tmp_path)] == ["0.0", "0.125", "0.25", "1.0"]


def test_resumed_run_forgets_rows_and_columns_after_its_checkpoint(tmp_path: Path) -> None:
    file = written(tmp_path)
    before = (tmp_path / "metrics.csv").read_bytes()
    file.log_metrics({"kimg": 0.25, "later": 1.0}, step=3)  # at the same time, yet after the checkpoint
    file.keep(3, kimg=0.25)
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_time_decides_where_the_number_of_rows_is_not_known(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.keep(None, kimg=0.125)
    assert [row["kimg"] for row in rows(tmp_path)] == ["0.0", "0.125"]


def test_history_forgets_what_the_training_measured_later(tmp_path: Path) -> None:
    for verb, kimg in (("fit", 0.0), ("fit", 1.0), ("evaluate", 2.0), ("fit", 2.0)):
        append_to_history(tmp_path, verb, kimg, Evaluation({"fid": 1.0}, {}))
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"kimg": 3.0, "ve')
    forget_after(tmp_path, 1.0)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["verb"], line["kimg"]) for line in kept] == [("fit", 0.0), ("fit", 1.0), ("evaluate", 2.0)]
    forget_after(tmp_path, 0.0)
    assert len(path.read_text().splitlines()) == 1


def test_history_goes_on_in_a_new_line_after_a_kill(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"kimg": 3.0, "ve')
    append_to_history(tmp_path, "evaluate", 4.0, Evaluation({"fid": 1.0}, {}))
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])["kimg"] == 4.0
