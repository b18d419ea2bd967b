"""`dualgan study` on trainings of two steps."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from dualgan.comparison.study import processes
from dualgan.version import __version__
from tests.conftest import RunCLI
from tests.studying import OPTIONS, Fork, write_study

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks its processes")

LAUNCH = processes.launch  # the forks below take its place
OUT = Path("runs/studies/toy")
HINGE = {"options": {"model.loss": "Hinge"}}


@pytest.fixture(autouse=True)
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "launch", Fork)
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.02)


def trainings(run: str) -> int:
    """How often a run's training was begun or gone on with."""
    return (OUT / run / "study.log").read_text().count("Reading the images")


def test_a_study_is_trained_scored_and_summed_up(run_cli: RunCLI) -> None:
    out = run_cli.succeeds("study", write_study({"hinge": HINGE}, seeds=[0, 1]), "--workers", 2)
    assert "2 of 2 runs are left, 2 at a time" in out
    assert out.strip().endswith("Nothing is left.")
    results = json.loads((OUT / "results.json").read_text())
    assert {row: [run["seed"] for run in runs] for row, runs in results.items()} == {"hinge": [0, 1]}
    run = results["hinge"][1]
    assert run["kimg"] == 0.016
    assert 0 < run["hours"] < 0.1
    assert run["provenance"]["trained_on"][0]["dualgan"]
    assert run["provenance"]["scores"]["num_fake"] == 8
    scored = json.loads((OUT / "hinge_seed1" / "scores.json").read_text())
    assert run["fd_efficientnet_lite0"] == scored["fd_efficientnet_lite0"]
    published = json.loads((OUT / "numbers.json").read_text())
    assert published["hinge"][1] == {name: run[name] for name in ("seed", "kimg", "hours", "fd_efficientnet_lite0")}
    table = (OUT / "table.md").read_text()
    assert "| row | fd_efficientnet_lite0 ↓ | seeds | kimg | hours |" in table
    assert "± " in table
    for name in ("curves.png", "compare.html", "study.yaml"):
        assert (OUT / name).is_file()
    # its runs are ordinary ones, here the same as of the command that --dry_run shows
    run_cli.succeeds("fit", *[f"--{name}={value}" for name, value in OPTIONS.items()], "--model.loss=Hinge",
                     "--seed_everything", 1, "--run_dir", "alone", "--wandb.mode", "disabled")  # fmt: skip
    assert Path("alone/metrics.csv").read_bytes() == (OUT / "hinge_seed1" / "metrics.csv").read_bytes()


def test_what_is_done_is_not_done_again(run_cli: RunCLI) -> None:
    run_cli.succeeds("study", write_study({"none": None}))
    before = {path: path.stat().st_mtime_ns for path in (OUT / "none_seed0").rglob("*") if path.is_file()}
    out = run_cli.succeeds("study", "toy.yaml")
    assert "are left" not in out
    assert "Nothing is left." in out
    assert before == {path: path.stat().st_mtime_ns for path in (OUT / "none_seed0").rglob("*") if path.is_file()}
    # other rows may join, and another score measures what is trained
    write_study({"none": None, "hinge": HINGE}, score={"neighbors": 2})
    out = run_cli.succeeds("study", "toy.yaml")
    assert "nearest_pixel  nearest_perceptual" in out
    assert "fd_efficientnet_lite0" not in out
    assert (trainings("none_seed0"), trainings("hinge_seed0")) == (1, 1)


def test_a_changed_study_says_which_run_differs_and_keeps_all(run_cli: RunCLI) -> None:
    run_cli.succeeds("study", write_study({"none": None, "hinge": HINGE}, score={}))
    checkpoint = OUT / "hinge_seed0" / "checkpoints" / "last.ckpt"
    before = checkpoint.read_bytes()
    write_study({"none": None, "hinge": {"options": {"model.loss": "Hinge", "model.learning_rate": 0.001}}}, score={})
    error = run_cli.fails("study", "toy.yaml")
    assert "hinge_seed0 was begun otherwise (model.learning_rate was 0.002 and is 0.001)" in error
    assert "none_seed0" not in error
    assert checkpoint.read_bytes() == before
    write_study({"none": None, "hinge": HINGE}, score={}, options={**OPTIONS, "model.total_kimg": 0.032})
    assert "none_seed0 and hinge_seed0 were begun otherwise (model.total_kimg was 0.016 and" in run_cli.fails(
        "study", "toy.yaml"
    )
    write_study({"none": None, "hinge": HINGE}, score={})
    assert "Nothing is left." in run_cli.succeeds("study", "toy.yaml")


def test_a_failed_run_is_told_with_its_log_and_the_others_go_on(run_cli: RunCLI) -> None:
    of_data = {name: value for name, value in OPTIONS.items() if name.startswith("data")}
    others = {name: value for name, value in OPTIONS.items() if name not in of_data}
    broken = {"options": {"data": "ImageFolder", "data.root": "nowhere", "data.resolution": 8}}
    write_study({"broken": broken, "none": {"options": of_data}}, options=others, score={})
    outcome = run_cli("study", "toy.yaml", "--workers", 1)
    assert outcome.code == 1
    assert (
        "broken_seed0: fit ended with code 2. The last lines of runs/studies/toy/broken_seed0/study.log:" in outcome.out
    )
    assert "'nowhere'" in outcome.out
    assert "error: broken_seed0 failed" in outcome.err
    assert "none_seed0: trained" in outcome.out
    assert "1 of 2 runs are left" in run_cli("study", "toy.yaml").out  # tried again, alone
    assert (trainings("broken_seed0"), trainings("none_seed0")) == (2, 1)


def test_a_signal_stops_all_saved_and_the_same_command_goes_on(run_cli: RunCLI) -> None:
    options = {**OPTIONS, "model.total_kimg": 0.4, "quality.every_kimg": 10, "samples.every_kimg": 10}
    write_study({"none": None, "hinge": HINGE}, options=options, score={})
    log = OUT / "none_seed0" / "study.log"

    def stop_when_training() -> None:
        while not (log.is_file() and "Training:" in log.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop_when_training)
    thread.start()
    outcome = run_cli("study", "toy.yaml", "--workers", 1)
    thread.join()
    assert outcome.code == 128 + signal.SIGTERM
    assert "Left: none_seed0 (0." in outcome.err
    assert " of 0.4 kimg), hinge_seed0 (to be begun). The same command goes on." in outcome.err
    assert "Nothing is left." in run_cli.succeeds("study", "toy.yaml", "--rows", "none")
    assert trainings("none_seed0") == 2
    run_cli.succeeds("fit", *[f"--{name}={value}" for name, value in options.items()], "--run_dir", "alone")
    assert Path("alone/metrics.csv").read_bytes() == (OUT / "none_seed0" / "metrics.csv").read_bytes()


def test_out_of_time(run_cli: RunCLI) -> None:
    out = run_cli.succeeds("study", write_study({"none": None, "hinge": HINGE}), "--hours", 0)
    assert "Left: none_seed0 (to be begun), hinge_seed0 (to be begun). The same command goes on." in out
    assert not list(OUT.glob("*_seed0"))


def test_a_dry_run_shows_the_commands_and_writes_nothing(run_cli: RunCLI) -> None:
    write_study({"none": None, "hinge": HINGE}, seeds=[0, 5])
    out = run_cli.succeeds("study", "toy.yaml", "--rows", "hinge", "--seeds", "5", "--dry_run")
    assert out.startswith("hinge_seed5: to be begun\n  dualgan fit ")
    assert "--model.loss=Hinge --seed_everything 5" in out
    assert "none" not in out.replace("none_", "")
    assert not OUT.exists()


def test_two_processes_do_not_work_on_one_study(run_cli: RunCLI) -> None:
    OUT.mkdir(parents=True)
    with FileLock(OUT / ".lock"):
        error = run_cli.fails("study", write_study({"none": None}))
    assert "another process works on the study in runs/studies/toy right now" in error


def test_processes_are_this_program(tmp_path: Path) -> None:
    (log := tmp_path / "log").write_text("before\n")
    process = LAUNCH(["--version"], log, {"OMP_NUM_THREADS": "1"})
    while process.poll() is None:
        time.sleep(0.02)
    assert process.poll() == 0
    assert log.read_text() == f"before\ndualgan {__version__}\n"
