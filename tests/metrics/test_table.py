"""One table of metrics: what is registered there is known to every part of the program."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualgan.callbacks import Quality
from dualgan.evaluation import evaluate
from dualgan.metrics import METRICS, FeatureMetric, FrechetDistance
from dualgan.metrics.names import better, patterns
from dualgan.metrics.table import Few, MetricSpec, Number, check_least, kinds_of, register, reported_name
from tests.conftest import TINY, RunCLI
from tests.evaluation.test_evaluation import Photos, TinyExtractor, TinyGenerator


class MeanDistance(FeatureMetric):
    """How far the means of two sets are from each other."""

    higher_is_better = False
    recorded = {"mean_distance_power": "power"}  # noqa: RUF012
    power = 2

    def score(self, real: Tensor, fake: Tensor) -> Tensor:
        distance: Tensor = (real.mean(0) - fake.mean(0)).norm() ** self.power
        return distance


@pytest.fixture
def toy() -> Iterator[None]:
    """A metric that only this file knows."""
    number = Number("mean_distance", "md", "means")
    register(MetricSpec("md", "mean distance", (number,), MeanDistance, Few(60, "means scatter"), least=3))
    yield
    del METRICS["md"]


@pytest.mark.usefixtures("toy")
def test_a_metric_in_one_place_is_known_everywhere(
    tmp_path: Path, run_cli: RunCLI, finished_run: Callable[[], Path]
) -> None:
    found = evaluate(
        TinyGenerator(), Photos(), TinyExtractor(), num_fake=40, metrics=["md", "frechet"], cache_dir=tmp_path
    )
    assert list(found.values) == ["means_tiny", "fd_tiny"]
    assert found.provenance["mean_distance_power"] == 2
    assert list(found.notes) == ["means_tiny"]
    assert found.notes["means_tiny"] == "40 generated images: below 60 it means little (means scatter)"
    with pytest.raises(ValueError, match="num_fake 2 is too small: means_tiny needs 3 generated images or more"):
        evaluate(TinyGenerator(), Photos(), TinyExtractor(), num_fake=2, metrics=["md"], cache_dir=tmp_path)

    assert Quality(metrics=["fid", "mean_distance"]).metrics == ("frechet", "mean_distance")
    assert "md (mean distance)" in " ".join(run_cli.succeeds("evaluate", "--help").split())
    ckpt = finished_run() / "checkpoints" / "last.ckpt"
    words = ("--num_fake", 8, "--extractor", "efficientnet_lite0", "--metrics", "md", "--out", "metrics.json")
    run_cli.succeeds("evaluate", "--ckpt", ckpt, *words)
    assert json.loads(Path("metrics.json").read_text())["means_efficientnet_lite0"] > 0

    assert better("md") == better("means_tiny") == "lower"
    assert {"md", "means_*"} <= set(patterns("lower"))


@pytest.mark.parametrize("call", [lambda names: Quality(metrics=names), kinds_of])
def test_an_unknown_metric_is_told_which_there_are(call: Callable[[list[str]], object]) -> None:
    with pytest.raises(ValueError, match=r"metric 'speed' is unknown: expected some of fid, kid, .*pr, or of their"):
        call(["fid", "speed"])


@pytest.mark.parametrize("name", [spec.name for spec in METRICS.values() if spec.needs_networks])
def test_training_measures_no_metric_of_networks(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' needs the networks.*dualgan evaluate"):
        Quality(metrics=["fid", name])


@pytest.mark.parametrize(("name", "expected"), [("speed", "expected some of fid, kid"), ("fddf", "needs the networks")])
def test_a_run_with_a_wrong_metric_is_refused_before_its_images_are_made(
    name: str, expected: str, run_cli: RunCLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path / "cache"))
    error = run_cli.fails("fit", *TINY, "--quality.metrics", f"[fid, {name}]")
    assert "quality.metrics" in error
    assert f"metric '{name}'" in error
    assert expected in error
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_names_say_which_network_has_measured(spec: MetricSpec) -> None:
    tiny = TinyExtractor()
    for number in spec.numbers:
        assert reported_name(number.kind, tiny).endswith("_tiny")
        assert better(reported_name(number.kind, tiny)) == better(reported_name(number.kind, None)) == spec.better


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_every_metric_says_below_how_many_images_it_means_little(spec: MetricSpec) -> None:
    enough = spec.few.enough(2048)
    assert spec.least < enough <= 5000
    assert spec.caution(enough, enough, 2048) is None
    caution = spec.caution(enough - 1, enough, 2048)
    assert caution is not None
    assert caution.startswith(f"{enough - 1:,} ")
    assert f"below {enough:,} it means little ({spec.few.why})" in caution
    of_real = spec.caution(enough, 2, 2048)
    assert (of_real is None) == (spec.source in ("logits", "paths"))  # which look at generated images alone


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_what_is_impossible_names_metric_number_and_least_size(spec: MetricSpec) -> None:
    check_least({spec.name: spec.name}, spec.least, spec.least)
    with pytest.raises(ValueError, match=rf"num_fake {spec.least - 1} is too small: {spec.name} needs {spec.least} "):
        check_least({spec.name: spec.name}, spec.least - 1, None)


def test_all_numbers_of_a_metric_or_one_of_them() -> None:
    assert kinds_of(["pr", "fid", "recall"]) == ("precision", "recall", "frechet")
    assert kinds_of(["recall", "ppl"]) == ("recall", "ppl2_wend")


def test_the_frechet_distance_needs_no_more_memory_for_more_rows() -> None:
    metric = FrechetDistance()
    for _ in range(100):
        metric.update(torch.randn(50, 4), real=True)
    assert sum(map(len, metric._moments[True]._waiting)) < 9 * 4 + 50
