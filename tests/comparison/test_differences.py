"""How runs differ."""

from pathlib import Path

import pytest

from dualgan.comparison.differences import comparison_warnings, differs, side_by_side
from dualgan.comparison.runs import read_runs
from dualgan.comparison.scores import score, winners
from dualgan.comparison.texts import MISSING
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


def test_what_holds_for_several_runs_is_said_once(make_run: MakeRun) -> None:
    apart = {"num_fake": 500, "num_real": 500, "real_fingerprint": "c0ffee" * 10}
    folders = [make_run("a"), make_run("b"), *(make_run(name, provenance=apart) for name in "cd")]
    for folder in folders[:3]:
        (folder / "config.yaml").unlink()
    (problem, warning) = comparison_warnings(read_runs(folders))
    assert problem == "a, b and c: config.yaml is missing: its settings are unknown."
    assert warning.startswith("Protocols differ: a and b ")
    assert "; d num_fake 500, num_real 500, real_fingerprint c0ffeec0ffeec0ffeec0ffe…, resolution 32." in warning
    assert warning.endswith(" Their metrics compare only where these are the same.")


def test_another_extractor_is_one_difference(make_run: MakeRun) -> None:
    other = {"extractor": "inception_v3", "weight_hash": "1", "extractor_identity": "2", "extractor_size": 299}
    (warning,) = comparison_warnings(read_runs([make_run("a"), make_run("b", provenance=other)]))
    assert warning == (
        "Protocols differ in extractor: a efficientnet_lite0; b inception_v3. Their metrics do not compare."
    )


def test_settings_of_a_metric_that_one_run_measured_are_no_difference(make_run: MakeRun) -> None:
    more = {"ppl_epsilon": 1e-4, "ppl_distance": "lpips", "fddf_references": 0, "precision_recall_k": 3}
    runs = read_runs([make_run("a"), make_run("b", provenance=more)])
    assert comparison_warnings(runs) == []
    assert winners(runs, METRIC) == {0, 1}


def test_another_seed_is_said_and_compares(make_run: MakeRun) -> None:
    runs = read_runs([make_run("a", provenance={"seed": 0}), make_run("b", provenance={"seed": 1})])
    assert comparison_warnings(runs) == [
        "Evaluations drew different images, by seed: a 0; b 1. Small differences may be chance."
    ]
    assert winners(runs, METRIC) == {0, 1}


METRIC = "fd_efficientnet_lite0"
BETTER = [row | ({f"metrics/{METRIC}": 100.0} if f"metrics/{METRIC}" in row else {}) for row in ROWS]


@pytest.mark.parametrize(
    "setting",
    [{"num_fake": 9}, {"num_real": 9}, {"real_fingerprint": "x"}, {"extractor": "vgg16"}, {"weight_hash": "x"},
     {"truncation_psi": 0.7}, {"ema": False}, {"kernel_subset_size": 9}],
)  # fmt: skip
def test_only_numbers_that_compare_have_a_best(setting: dict[str, object], make_run: MakeRun) -> None:
    names = iter("abcdef")

    def make(rows: list[dict[str, float]] | None = None, **provenance: object) -> Path:
        return make_run(next(names), rows=rows, provenance={"kernel_subset_size": 100} | provenance)

    alone = read_runs([make(), make(BETTER, **setting)])
    of_kernel = "kernel_subset_size" in setting  # which Frechet distances do not depend on
    assert winners(alone, METRIC) == ({1} if of_kernel else set())
    two_alike = read_runs([make(), make(BETTER, **setting), make()])
    assert winners(two_alike, METRIC) == ({1} if of_kernel else {0, 2})
    assert winners(read_runs([make()]), METRIC) == set()


def test_best_of_a_run_is_one_that_compares_with_its_last(make_run: MakeRun) -> None:
    folder = make_run()  # 851 at 0, 208 at 1 and 300 at 2 kimg
    write_records(folder / "metrics.jsonl", ROWS[:-1], PROVENANCE | {"num_fake": 10})
    first = (folder / "metrics.jsonl").read_text()
    write_records(folder / "metrics.jsonl", ROWS[-1:], PROVENANCE)
    (folder / "metrics.jsonl").write_text(first + (folder / "metrics.jsonl").read_text())
    found = score(read_runs([folder])[0], METRIC)
    assert found is not None
    assert found.best_kimg == 2.0


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
