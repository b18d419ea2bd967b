"""Published rows beside runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualgan.comparison.published import deviations, published_row, published_rows
from dualgan.runs.reading import Run
from dualgan.terminal.configs import shipped_configs
from tests.comparison.conftest import parsed

SETS_128 = ("celeba_128", "animal_face_128", "bedroom_128", "church_128")


def run_of(config: dict[str, Any], **settings: Any) -> Run:
    return Run("run", Path("run"), config=config, **settings)


def figure(config: dict[str, Any]) -> float | None:
    row = published_row(run_of(config))
    return None if row is None else row.scores["fid50k"]


def heading(path: Path) -> str:
    return " ".join(line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#"))


# Those of limited data quote another paper (tests/cli/test_limited_configs.py), and those of other networks several.
OF_THE_PAPER = [
    p
    for p in shipped_configs()
    if p.parent.name not in ("limited", "backbones") or (p.parent.name == "limited" and p.stem.endswith("_128"))
]


@pytest.mark.parametrize(
    "path", [p for p in OF_THE_PAPER if p.parent.name != "overlays" and "FID" in heading(p)], ids=lambda p: p.stem
)
def test_shipped_configs_stand_beside_the_figure_in_their_heading(path: Path) -> None:
    quoted = re.search(r"FID ([\d.]+)", heading(path))
    assert quoted
    assert figure(yaml.safe_load(path.read_text())) == float(quoted[1])


@pytest.mark.parametrize(
    "overlay",
    [p for p in shipped_configs() if p.parent.name == "overlays" and "_128:" in heading(p)],
    ids=lambda p: p.stem,
)
def test_overlays_stand_beside_the_figures_in_their_heading(overlay: Path) -> None:
    quoted = re.search(r"church_128: [\d.]+, [\d.]+, [\d.]+, ([\d.]+)", heading(overlay))
    assert quoted
    assert figure(parsed("church_128.yaml", overlay.name)) == float(quoted[1])


def test_overlays_together() -> None:
    assert figure(parsed("church_128.yaml", "d_ref8.yaml", "data_10k.yaml")) == 12.13
    assert figure(parsed("church_128.yaml", "g_san32.yaml", "d_ref8.yaml", "contr.yaml")) == 8.75


def test_all_figures_of_a_row() -> None:
    row = published_row(run_of(parsed("church_contr.yaml")))
    assert row is not None
    assert row.scores == {"fid50k": 3.73, "ppl": 619, "precision": 0.60, "recall": 0.40}
    assert row.where == "Tables 1, 6 and S5"


def test_no_row_for_what_was_not_published() -> None:
    assert figure(parsed("clevr_demo.yaml")) is None  # rendered scenes are not CLEVR
    assert figure(parsed("church_contr.yaml", "d_ref8.yaml")) is None
    labelled = parsed("church_contr.yaml")
    labelled["data"]["init_args"]["use_labels"] = True
    assert figure(labelled) is None
    assert figure({}) is None


def test_published_protocol_has_no_deviations() -> None:
    config = parsed("church_contr.yaml")
    provenance = {"extractor": "inception_v3", "num_fake": 50000, "num_real": 50000, "ema": True, "truncation_psi": 1.0}
    records = [{"kimg": 25000, "verb": "fit", "fid50k": 4.0, "provenance": provenance}]
    run = run_of(config, records=records, rows=[{"kimg": 25000.0, "metrics/fid50k": 4.0}])
    row = published_row(run)
    assert row is not None
    assert deviations(run, row) == []


def test_every_deviation_is_named() -> None:
    config = parsed("church_contr.yaml")
    config["model"] |= {"total_kimg": 100.0, "r1_gamma": 10.0}
    config["data"]["init_args"] |= {"resolution": 64, "batch_size": 8, "mirror": True}
    provenance = {"extractor": "efficientnet_lite0", "num_fake": 2000, "ema": True}
    records = [{"kimg": 50, "verb": "fit", "provenance": provenance}]
    run = run_of(config, records=records, rows=[{"kimg": 50.0}])
    row = published_row(run)
    assert row is not None
    assert row.scores["fid50k"] == 3.73
    assert deviations(run, row) == [
        "resolution 64 instead of 256", "total_kimg 100 instead of 25000", "data.batch_size 8 instead of 32",
        "r1_gamma 10 instead of 100", "mirror true instead of false", "trained for 50 of 100 kimg so far",
        "extractor efficientnet_lite0 instead of inception_v3", "num_fake 2000 instead of 50000",
    ]  # fmt: skip


def test_rows_are_distinct() -> None:
    settings = [row.setting for row in published_rows()]
    assert len(set(settings)) == len(settings)
