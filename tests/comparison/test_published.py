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


OF_OTHER_NETWORKS: dict[tuple[str, ...], dict[str, float]] = {
    ("church.yaml", "sngan.yaml"): {"fid50k": 7.37},
    ("church.yaml", "sngan.yaml", "contr.yaml"): {"fid50k": 6.51},
    ("clevr.yaml", "stylegan.yaml"): {"fid50k": 12.43},
    ("horse.yaml", "stylegan.yaml", "contr.yaml"): {"fid50k": 6.26},
    ("ffhq.yaml", "stylegan.yaml", "contr.yaml"): {"fid50k": 6.42},
    ("ffhq.yaml", "biggan.yaml"): {"fid50k": 11.4},
    ("ffhq.yaml", "unet.yaml"): {"fid50k": 7.48, "ppl": 32, "precision": 0.68, "recall": 0.19},
    ("church.yaml", "unet_stylegan2.yaml"): {"fid50k": 11.7, "ppl": 318, "precision": 0.62, "recall": 0.07},
    ("biggan_cifar10.yaml", "apa.yaml"): {"fid": 8.28},
    ("biggan_cifar10.yaml", "data_10k.yaml", "fakeclr.yaml"): {"fid": 13.6},
    ("cifar10.yaml", "fakeclr.yaml"): {"fid50k_full": 2.13},
    ("cifar10.yaml", "data_10k.yaml", "unconditional.yaml", "insgen.yaml"): {"fid50k_full": 4.83},
    ("r3gan_cifar10.yaml",): {"fid50k_full": 1.96},
    ("r3gan_ffhq64.yaml",): {"fid50k_full": 1.95},
    ("r3gan_ffhq256.yaml",): {"fid50k_full": 2.75},
    ("sngan_cifar10.yaml", "sngan_mimicry.yaml"): {"fid50k_full": 16.77},
}


@pytest.mark.parametrize(("names", "scores"), OF_OTHER_NETWORKS.items(), ids=lambda value: "+".join(value))
def test_other_networks_stand_beside_their_figures_and_follow_their_protocol(
    names: tuple[str, ...], scores: dict[str, float]
) -> None:
    run = run_of(parsed(*names))
    row = published_row(run)
    assert row is not None
    assert row.scores == scores
    quoted = " ".join(heading(path) for path in shipped_configs() if path.name in names)
    assert f"{next(iter(scores.values()))}" in quoted
    assert deviations(run, row) == ["not evaluated yet"]


def test_another_schedule_than_the_published_one_is_named() -> None:
    config = parsed("r3gan_cifar10.yaml")
    config["model"] |= {"r1_gamma": 1.0}
    config["model"]["learning_rate"]["init_args"]["end"] = 1e-4
    run = run_of(config)
    row = published_row(run)
    assert row is not None
    assert deviations(run, row) == [
        "learning_rate.end 0.0001 instead of 5e-05", "r1_gamma 1 instead of a schedule", "not evaluated yet",
    ]  # fmt: skip
    scheduled = parsed("church.yaml")
    scheduled["model"]["learning_rate"] = config["model"]["learning_rate"]
    row = published_row(run := run_of(scheduled))
    assert row is not None
    assert "learning_rate a schedule instead of 0.002" in deviations(run, row)


def test_methods_that_were_not_published_with_a_network_stand_beside_no_row() -> None:
    for names in (
        ("r3gan_cifar10.yaml", "r3gan_cifar10_contr.yaml"), ("church.yaml", "sngan.yaml", "ada.yaml"),
        ("ffhq.yaml", "unet_stylegan2.yaml"), ("ffhq_2k.yaml", "fakeclr.yaml"), ("biggan_cifar10.yaml",),
    ):  # fmt: skip
        assert published_row(run_of(parsed(*names))) is None, names


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
