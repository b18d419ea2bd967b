"""How runs differ."""

from dualgan.comparison.differences import MISSING, comparison_warnings, differs, side_by_side
from dualgan.comparison.runs import read_runs
from tests.comparison.conftest import PROVENANCE, ROWS, MakeRun, write_records


def test_only_real_differences_count() -> None:
    one = {"model": {"r1_gamma": 1, "betas": [0, 0.99]}, "seed": 0, "loss": None, "extra": {}}
    other = {"model": {"r1_gamma": 1.0, "betas": [0, 0.9]}, "seed": 0, "loss": "Hinge"}
    table = side_by_side([one, other])
    assert {name for name, texts in table.items() if differs(texts)} == {"model.betas", "loss", "extra"}
    assert table["model.r1_gamma"] == ["1", "1"]
    assert table["loss"] == ["null", "Hinge"]
    assert table["extra"] == ["{}", MISSING]
    assert side_by_side([{}, {"a": 1}]) == {"a": [MISSING, "1"]}


def test_same_protocol_gives_no_warning(make_run: MakeRun) -> None:
    assert comparison_warnings(read_runs([make_run("a"), make_run("b")])) == []


def test_protocols_that_differ_are_named(make_run: MakeRun) -> None:
    runs = read_runs([make_run("a"), make_run("b", provenance={"num_fake": 500})])
    assert comparison_warnings(runs) == ["Protocols differ in num_fake: a 2000; b 500. Their metrics do not compare."]


def test_resolutions_that_differ_are_named(make_run: MakeRun) -> None:
    config = {"model": {"total_kimg": 2.0}, "data": {"init_args": {"resolution": 64}}}
    (warning,) = comparison_warnings(read_runs([make_run("a"), make_run("b", config=config)]))
    assert "resolution: a 32; b 64" in warning


def test_no_common_metric_lengths_and_missing_scores(make_run: MakeRun) -> None:
    fid = [{"kimg": 1.0, "metrics/fid": 5.0}]
    runs = read_runs([make_run("a"), make_run("b", rows=fid), make_run("c", rows=ROWS[1:2])])
    text = "\n".join(comparison_warnings(runs))
    assert "no metric in common: a fd_efficientnet_lite0; b fid." in text
    assert "in kimg: a 2; b 1." in text
    assert "c has no evaluation yet." in text


def test_a_protocol_that_changed_during_a_run(make_run: MakeRun) -> None:
    folder = make_run()
    records = (folder / "metrics.jsonl").read_text()
    write_records(folder / "metrics.jsonl", ROWS[-1:], PROVENANCE | {"num_fake": 10})
    (folder / "metrics.jsonl").write_text(records + (folder / "metrics.jsonl").read_text())
    (warning,) = comparison_warnings(read_runs([folder]))
    assert "differ among themselves in num_fake" in warning
