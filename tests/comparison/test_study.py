"""Studies: what their files may say, and what their tables and curves show."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dualgan.comparison.study import machine
from dualgan.comparison.study.curves import band, draw_curves
from dualgan.comparison.study.definition import find_study, read_study, shipped_studies
from dualgan.comparison.study.machine import places
from dualgan.comparison.study.results import markdown, table, with_spread
from dualgan.comparison.study.runs import runs_of
from dualgan.pictures.figures import render
from dualgan.runs.reading import kimg_reached, read_run
from dualgan.runtime.devices import Choice
from tests.comparison.conftest import MakeRun
from tests.conftest import RunCLI

ONE_DEVICE: dict[str, Any] = {"trainer": {"devices": 1, "num_nodes": 1}}
EXPERIMENTS = Path(__file__).parents[2] / "docs" / "experiments"

MISTAKES = {
    "rows:\n  ada: {}\n  none: {}\n  ada: {}": "'ada' stands twice in one section, in lines 2 and 4",
    "rows: {a: {}}\nsede: [0]": "unknown key 'sede': did you mean 'seeds'?",
    "rows: {a: {config: [ada.yaml]}}": "unknown key 'rows.a.config': did you mean 'configs'?",
    "rows: {a: {}}\nscore: {metric: [fid]}": "unknown key 'score.metric': did you mean 'metrics'?",
    "seeds: [0]": "rows: there is none",
    "rows: [ada]": 'rows: expected names with their values below, found ["ada"]',
    "rows: {no: {}}": "rows: False stands where the name of a row is expected: quote it",
    "rows: {../a: {}}": "rows: '../a' is no name of a folder",
    "rows: {a: {configs: ada.yaml}}": 'rows.a.configs: expected a list of names such as [lfw100.yaml], found "ada',
    "rows: {a: {}}\nseeds: [0, 0]": "seeds [0, 0]: expected at least one, each once",
    "rows: {a: {}}\nseeds: [-1]": "seeds [-1]: expected at least one, each once, from 0",
    "rows: {a: {options: {run_dir: here}}}": "rows.a.options: run_dir is what the study itself gives to every run",
    "rows: {a: {}}\nscore: {neighbors: 33}": "score.neighbors 33 are more than a figure has room for: 32",
    "rows: {a: {}}\nscore: {num_fake: many}": "score.num_fake 'many' is no number of images",
    "rows: {a: {}}\nscore: {metrics: [fdi]}": "'fdi'",
    "rows: {a: {}}\nscore: {metrics: [fid], options: {num_fakes: 2}}": "unknown option 'num_fakes'",
    "rows: {a: {}}\nscore: {metrics: [fid], num_fake: 0}": "num_fake 0 is too small",
    "rows: {a: {}}\nscore: {metrics: [fid], options: {num_real: 0}}": "num_real 0 is too small",
    "rows: {a: {}}\nscore: {metrics: [fid], options: {ckpt: a}}": "score.options: ckpt is what the study itself gives",
    "rows: {a: {}}\nscore: {metrics: [fid], options: {num_fake: 9}}": "its own: write score.num_fake",
    "rows: {a: {}, A: {}}": "rows: a and A would share a folder",
    "rows: {a: {options: {model.total_kimg: 2026-01-01}}}": "rows.a.options.model.total_kimg 2026-01-01 is no number",
    "rows: {a: {options: {model: {total_kimg: 1}, model.total_kimg: 2}}}": "model.total_kimg stands there twice",
    "rows: {a: {configs: [adda.yaml]}}": "rows.a: no configuration 'adda.yaml': it is neither a file nor shipped",
    "rows: {a: {options: {model.lose: Hinge}}}": "row 'a': unknown option 'model.lose'",
    "rows: {a: {options: {trainer.devices: 2}}}": "row 'a': trainer.devices 2: a study gives one device to each run",
    "rows: [": "is not a study",
    "": "a study: expected names with their values below, found nothing",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_the_file_is_told_before_anything_is_trained(text: str, run_cli: RunCLI) -> None:
    options = "" if text in ("", "rows: [") else "configs: [lfw100.yaml]\n"
    Path("own.yaml").write_text(options + text)
    error = run_cli.fails("study", "own.yaml")
    assert MISTAKES[text].replace("lines 2 and 4", "lines 3 and 5") in error
    assert not Path("runs").exists()


def test_a_mistake_on_the_command_line(run_cli: RunCLI) -> None:
    for words, expected in {
        "": "study needs a file: 'dualgan study FILE.yaml'",
        "limited_face.yaml": "no study 'limited_face.yaml': it is neither a file nor shipped; did you mean",
        "limited_faces.yaml --rows fakeclip": "has no row 'fakeclip': did you mean 'fakeclr'?",
        "limited_faces.yaml --seeds 0-3": "has no seed 2, but 0, 1: add it to the file's seeds",
        "limited_faces.yaml --workers 0": "workers 0 is too small",
        "limited_faces.yaml --hours=-1": "hours -1 is negative",
    }.items():
        assert expected in run_cli.fails("study", *words.split())


@pytest.mark.parametrize("name", shipped_studies())
def test_shipped_studies_can_be_begun(name: str, run_cli: RunCLI) -> None:
    study = read_study(find_study(f"studies/{name}"))
    out = run_cli.succeeds("study", name, "--dry_run")
    assert out.count(": to be begun\n  dualgan fit ") == len(study.rows) * len(study.seeds)


def test_options_of_a_row_win_whatever_their_form(in_empty_folder: Path) -> None:
    Path("mine.yaml").write_text("model: {total_kimg: 3}")
    Path("own.yaml").write_text(
        "configs: [mine.yaml]\n"
        "options: {model: {total_kimg: 5, betas: [0, 0.9]}, wandb.mode: offline}\n"
        "rows: {a: {options: {model.total_kimg: 7, model: {loss: {class_path: Hinge}, r1_gamma: 1e-3}}}}"
    )
    assert read_study(Path("own.yaml")).words("a") == [
        "--config", "mine.yaml", "--wandb.mode=offline", "--model.total_kimg=7", "--model.betas=[0, 0.9]",
        '--model.loss={"class_path": "Hinge"}', "--model.r1_gamma=1e-3",
    ]  # fmt: skip


def test_runs_are_in_turn_so_that_a_part_compares_all_rows(tmp_path: Path) -> None:
    study = read_study(find_study("limited_faces.yaml"))
    names = [run.name for run in runs_of(study, tmp_path, lambda words: ONE_DEVICE)]
    assert names[:2] == ["none_seed0", "ada_seed0"]
    assert names[len(study.rows)] == "none_seed1"


def test_one_place_per_core_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert {place.variables["OMP_NUM_THREADS"] for place in places(3, cpu_only=True)} == {"1"}
    assert len(places(3, cpu_only=True)) == 3
    assert "threads: 1" in places(None, cpu_only=True)[0].device


@pytest.mark.parametrize(("visible", "expected"), [("", ["0", "1", "0"]), ("5,GPU-a", ["5", "GPU-a", "5"])])
def test_runs_take_gpus_in_turn(visible: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "best_device", lambda: Choice("cuda", "two of them"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda k: f"card {k}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [place.variables["CUDA_VISIBLE_DEVICES"] for place in places(3, cpu_only=False)] == expected
    assert [place.device for place in places(None, cpu_only=False)] == ["card 0", "card 1"]
    assert "CUDA_VISIBLE_DEVICES" not in places(None, cpu_only=True)[0].variables


RUNS: dict[str, list[dict[str, Any]]] = {
    "a": [
        {"seed": 0, "kimg": 2.0, "hours": 0.1, "fid": 10.0, "recall": 0.5, "notes": {}},
        {"seed": 1, "kimg": 2.0, "hours": 0.3, "fid": 14.0, "notes": {}},
    ],
    "b": [{"seed": 0, "kimg": 1.0, "hours": 0.25, "fid": 9.0, "notes": {}}],
}


class TestResults:
    def test_table_has_mean_spread_and_number_of_seeds(self) -> None:
        assert table(RUNS) == [
            ["row", "fid ↓", "recall ↑", "seeds", "kimg", "hours"],
            ["a", "12 ± 2", "0.5 (of 1)", "2", "2", "0.2"],
            ["b", "9", "—", "1", "1", "0.25"],
        ]

    def test_large_numbers_are_written_out(self) -> None:
        assert with_spread([400000.0, 592634.0]) == "496300 ± 96000"
        assert with_spread([0.00001]) == "1e-05"

    def test_markdown(self) -> None:
        assert markdown({"b": RUNS["b"]}) == (
            "| row | fid ↓ | seeds | kimg | hours |\n|:--|--:|--:|--:|--:|\n| b | 9 | 1 | 1 | 0.25 |"
        )

    @pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.json")), ids=lambda path: path.stem)
    def test_the_pages_of_experiments_show_the_recorded_numbers(self, path: Path) -> None:
        page = path.with_name(path.stem.partition(".")[0] + ".md")
        assert markdown(json.loads(path.read_text())) in page.read_text()


class TestCurves:
    def test_band_is_of_the_seeds_that_have_got_there(self) -> None:
        kimg, low, mean, high = band([[(0, 4.0), (1, 2.0), (2, 1.0)], [(0, 8.0), (1, 4.0)], [(0, 6.0), (2, 4.0)]])
        np.testing.assert_allclose(kimg, [0, 1, 2])
        np.testing.assert_allclose(low, [4, 2, 1])
        np.testing.assert_allclose(mean, [6, 11 / 3, 2.5])
        np.testing.assert_allclose(high, [8, 5, 4])

    def test_a_line_for_every_row(self, make_run: MakeRun) -> None:
        runs = [read_run(make_run(f"run{k}"), f"run{k}") for k in range(8)]
        figure = draw_curves({run.name: [run] for run in runs})
        assert figure is not None
        (axes,) = figure.axes
        assert axes.get_title() == "fd_efficientnet_lite0"
        looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
        assert len(looks) == 8

    def test_ticks_of_a_logarithmic_axis_are_plain_numbers(self, make_run: MakeRun) -> None:
        rows = [{"kimg": float(k), "metrics/fid": 100.0 / 10**k, "step": k} for k in range(3)]
        figure = draw_curves({"a": [read_run(make_run(rows=rows), "a")]})
        assert figure is not None
        render(figure)
        assert {"1", "10", "100"} <= {tick.get_text() for tick in figure.axes[0].get_yticklabels()}

    def test_nothing_to_draw(self, make_run: MakeRun) -> None:
        run = read_run(make_run(rows=[{"kimg": 0.0, "loss/generator": 1.0, "step": 0}]), "run")
        assert draw_curves({"a": [run]}) is None


def test_kimg_of_a_run_that_is_being_written(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run()
    assert kimg_reached(folder) == 2.0
    with (folder / "metrics.csv").open("a") as file:
        file.write("1.5,2.6")  # half a row
    assert kimg_reached(folder) == 2.0
    (folder / "speed.csv").write_text("kimg,train/images_per_second\n2.4,100\n")
    assert kimg_reached(folder) == 2.4
    assert kimg_reached(tmp_path / "nowhere") == 0
