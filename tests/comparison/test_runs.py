"""Reading run folders, whole ones and others."""

from pathlib import Path

import pytest

from dualgan.comparison.runs import read_runs
from dualgan.comparison.scores import scores
from dualgan.runs.folder import holds_run
from dualgan.runs.loggers import append_speed
from tests.comparison.conftest import ROWS, MakeRun


def test_reads_what_was_written(make_run: MakeRun) -> None:
    (run,) = read_runs([make_run()])
    assert run.series("contrast/margin") == [(0.4, -3.5), (0.8, 2.25), (1.2, 4.4)]
    assert (run.name, run.kimg, run.total_kimg, run.problems) == ("run", 2.0, 2.0, [])
    assert run.provenance["num_fake"] == 2000


def test_last_and_best(make_run: MakeRun) -> None:
    (entry,) = scores(read_runs([make_run()]))
    assert (entry.metric, entry.last, entry.last_kimg) == ("fd_efficientnet_lite0", 300.12345678901234, 2.0)
    assert (entry.best, entry.best_kimg) == (208.62763546830786, 1.0)


def test_best_is_the_largest_where_larger_is_better_and_skips_nan(make_run: MakeRun) -> None:
    rows: list[dict[str, float]] = [
        {"kimg": k, "metrics/recall": value} for k, value in enumerate([0.1, 0.4, float("nan"), 0.2])
    ]
    (entry,) = scores(read_runs([make_run(rows=rows)]))
    assert (entry.best, entry.best_kimg, entry.last) == (0.4, 1.0, 0.2)


def test_no_best_where_neither_is_better(make_run: MakeRun) -> None:
    (entry,) = scores(read_runs([make_run(rows=[{"kimg": 1.0, "metrics/fddf": 245.0}])]))
    assert (entry.last, entry.best) == (245.0, None)


def test_half_a_line_is_no_number(make_run: MakeRun) -> None:
    folder = make_run()
    whole = (folder / "metrics.csv").read_text()
    records = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.csv").write_text(whole[:-8])  # 300.12345678901234 would read as 300.123
    (folder / "metrics.jsonl").write_text(records[:-8])
    (run,) = read_runs([folder])
    assert scores([run])[0].last == 208.62763546830786
    assert len(run.records) == 2
    assert run.problems == []


@pytest.mark.parametrize("content", ["", "kimg,st", "kimg,metrics/fid\n"])
def test_a_run_that_has_just_begun(content: str, make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "metrics.csv").write_text(content)
    (run,) = read_runs([folder])
    assert (run.rows, run.kimg, run.columns) == ([], None, [])


def test_damage_is_named_and_the_rest_is_kept(make_run: MakeRun) -> None:
    folder = make_run()
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    (folder / "metrics.csv").write_text("".join([*lines[:2], "what is this\n", *lines[2:]]))
    (folder / "metrics.jsonl").write_text("{]\n" + (folder / "metrics.jsonl").read_text())
    (folder / "config.yaml").write_bytes(b"model: [\xff")
    (run,) = read_runs([folder])
    assert len(run.rows) == len(ROWS)
    assert len(run.records) == 3
    assert [problem.split()[0] for problem in run.problems] == ["metrics.csv", "metrics.jsonl", "config.yaml"]


def test_speed_is_the_last_in_time_whatever_its_kimg(make_run: MakeRun) -> None:
    folder = make_run()
    for kimg, speed in ((1.0, 30.0), (2.0, 40.0), (1.5, 50.0)):  # the last one after going back to a checkpoint
        append_speed(folder, kimg, speed)
    (folder / "speed.csv").write_text((folder / "speed.csv").read_text() + "1.6,6")  # a kill has cut off 60
    (run,) = read_runs([folder])
    assert run.images_per_second == 50.0
    append_speed(folder, 1.7, 70.0)
    assert read_runs([folder])[0].images_per_second == 70.0


def test_speed_of_a_run_that_kept_none_is_unknown(make_run: MakeRun) -> None:
    (run,) = read_runs([make_run()])
    assert run.images_per_second is None
    assert run.problems == []


def test_a_configuration_alone_is_no_run(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "metrics.csv").unlink()
    assert not holds_run(folder)
    with pytest.raises(ValueError, match="is no run"):
        read_runs([folder])
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    assert holds_run(folder)
    assert read_runs([folder])[0].problems == ["metrics.csv is missing: no curves"]


def test_equal_folder_names_get_parents(make_run: MakeRun) -> None:
    folders = [make_run(name) for name in ("a/x/run", "b/x/run", "c/y/run")]
    assert [run.name for run in read_runs(folders)] == ["a/x/run", "b/x/run", "c/y/run"]
    assert [run.name for run in read_runs(folders[1:])] == ["x/run", "y/run"]


def test_no_run(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("runs/one")
    with pytest.raises(ValueError, match=r"runs' is no run: expected the config.yaml and metrics.csv .* one in it"):
        read_runs([tmp_path / "runs"])
    with pytest.raises(ValueError, match="no such folder"):
        read_runs([tmp_path / "nothing"])


def test_the_same_run_twice(make_run: MakeRun) -> None:
    folder = make_run()
    with pytest.raises(ValueError, match="given twice"):
        read_runs([folder, folder / ".." / "run"])


@pytest.mark.parametrize(("extractor", "shown"), [("inception_v3", "precision_inception_v3"), ("vgg16", "precision")])
def test_precision_of_earlier_versions_is_not_taken_for_the_published_one(
    extractor: str, shown: str, make_run: MakeRun
) -> None:
    rows = [{"kimg": 1.0, "metrics/fid": 40.0, "metrics/precision": 0.5, "step": 9}]
    (run,) = read_runs([make_run(rows=rows, provenance={"extractor": extractor})])
    assert [score.metric for score in scores([run])] == ["fid", shown]
    assert {"fid", shown} <= run.scored[0].keys()
    said = ["precision of an earlier version are shown as precision_inception_v3"]
    assert run.problems == (said if shown != "precision" else [])
