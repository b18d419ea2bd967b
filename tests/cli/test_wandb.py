"""What an offline W&B run holds."""

import json
import shutil
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import wandb

from dualgan.cli.main import main
from dualgan.comparison.dashboard import MEDIA, SCALARS, build_workspace, quality
from dualgan.metrics.names import SECTION, patterns
from dualgan.metrics.table import PROTOCOLS
from dualgan.runs.reading import read_run
from dualgan.runs.wandb_logger import Session, earlier_session
from tests.conftest import TINY, words
from tests.wandb_file import history, key_of, read_records


def records(run_dir: Path) -> list[Any]:
    """All records of the only W&B run in a folder."""
    (path,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    return list(read_records(path))


def fit(*options: str) -> None:
    """Train in this process as `dualgan fit` does in one of its own."""
    assert main(["fit", *TINY, *options]) == 0
    wandb.teardown()  # W&B writes its file to the end only now, as at the end of a process


OWN_WARNINGS = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
"""W&B leaves files open."""

EVERYTHING = words(
    "--model.loss DualContrastive --model.r1_gamma 1 --model.r2_gamma 1 --model.gradient_penalty 1 "
    "--model.path_length_weight 2 --model.generator.attention SAN --model.generator.attention_resolution 8 "
    "--quality.num_fake 8 --samples.rows 2 --samples.columns 2 --trainer.log_every_n_steps 1"
)
"""Options with which a run logs all that a run can log."""


@pytest.fixture(scope="module")
def offline_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with everything on, logged offline; beside it out.txt, what it printed."""
    folder = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch, (folder / "out.txt").open("w") as out, redirect_stdout(out):
        for name in ("WANDB_MODE", "WANDB_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("NETRC", str(folder / "netrc"))
        patch.setenv("WANDB_CONFIG_DIR", str(folder / "wandb_config"))
        patch.setenv("DUALGAN_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / "dualgan"))
        patch.chdir(folder)
        fit(*EVERYTHING, "--trainer.accelerator", "cpu", "--run_dir", "run")
    return folder / "run"


def logged(run: Path) -> set[str]:
    """Names of all that a run has logged; pictures under their key."""
    rows = [record.history.item for record in records(run) if record.HasField("history")]
    return {key_of(item).removesuffix("/_type") for row in rows for item in row}


def panels(workspace: Any) -> dict[str, list[dict[str, Any]]]:
    """Panels of a workspace by section, as they would be sent."""
    spec = json.loads(workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    return {s["name"]: [p["config"] for p in s["panels"]] for s in spec["section"]["panelBankConfig"]["sections"]}


@OWN_WARNINGS
def test_offline_run(offline_run: Path) -> None:
    assert "wandb sync run/wandb/offline-run-*" in (offline_run.parent / "out.txt").read_text()

    found = records(offline_run)
    history = [{key_of(i): json.loads(i.value_json) for i in r.history.item} for r in found if r.HasField("history")]
    metrics = {r.metric.name or r.metric.glob_name: r.metric.step_metric for r in found if r.HasField("metric")}
    settings = {key_of(u): u.value_json for r in found if r.HasField("run") for u in r.run.config.update}
    settings |= {key_of(u): u.value_json for r in found if r.HasField("config") for u in r.config.update}

    assert metrics["*"] == "kimg"
    assert all("kimg" in row for row in history), history
    assert any("metrics/fd_efficientnet_lite0" in row for row in history)
    assert any("loss/generator" in row for row in history)
    assert any(row.get("samples/_type") == "images/separated" for row in history)
    assert any(name.startswith("model") for name in settings)


@OWN_WARNINGS
def test_summaries_keep_the_best_and_the_last_value(offline_run: Path) -> None:
    found = {
        r.metric.glob_name or r.metric.name: r.metric.summary for r in records(offline_run) if r.HasField("metric")
    }
    for names, best in ((patterns("lower"), "min"), (patterns("higher"), "max")):
        for name in names:
            summary = found[SECTION + name]
            assert (summary.min, summary.max, summary.last) == (best == "min", best == "max", True)


@OWN_WARNINGS
def test_what_was_sent_is_noted(offline_run: Path) -> None:
    (path,) = (offline_run / "wandb").glob("offline-run-*/run-*.wandb")
    session = earlier_session(offline_run)
    assert path.stem == f"run-{session.id}"
    assert session.kimg == 0.016
    assert {"kimg", "loss/generator", "metrics/fd_efficientnet_lite0", "samples", "attention"} <= session.names


@OWN_WARNINGS
def test_speed_is_read_back(offline_run: Path) -> None:
    speed = read_run(offline_run, "run").images_per_second
    assert speed is not None
    assert speed > 0


@OWN_WARNINGS
def test_dashboard_shows_what_a_run_logs(offline_run: Path) -> None:
    found = panels(build_workspace("someone", "dualgan"))
    assert list(found) == ["samples", "quality", "losses", "contrast", "speed"]
    shown = {
        name
        for own in found.values()
        for panel in own
        for name in panel["metrics" if "metrics" in panel else "mediaKeys"]
    }
    # FID and KID need Inception-v3's weights, which tests do not have
    names = {f"metrics/{name}{counts}" for name in ("fid", "kid") for counts in PROTOCOLS}
    assert shown - logged(offline_run) == names
    assert {panel["xAxis"] for own in found.values() for panel in own if "metrics" in panel} == {"kimg"}


@OWN_WARNINGS
def test_dashboard_leaves_out_nothing_that_matters(offline_run: Path) -> None:
    shown = {name for names in quality().values() for name in names} | set(MEDIA.values())
    shown |= {name for plots in SCALARS.values() for name in plots.values()}
    ours = {
        name for name in logged(offline_run) if name.startswith((SECTION, "loss/", "contrast/", "logits/", "path_"))
    }
    assert ours <= shown


@pytest.fixture
def resume_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train some steps offline, from a checkpoint if there is one; rows of each session by the W&B run's id."""
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / "dualgan"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dualgan.callbacks.progress.KimgProgressBar.SECONDS_BETWEEN_LINES", 1e9)

    def train(steps: int, *more: str) -> dict[str, list[list[float]]]:
        time.sleep(1)  # W&B names a session's folder after the second
        few = "--quality.num_fake 8 --samples.rows 2 --samples.columns 2 --trainer.accelerator cpu --run_dir run"
        settings = f"{few} --wandb.mode offline --model.total_kimg 0.08 --trainer.log_every_n_steps 1"
        fit(*words(settings), "--trainer.max_steps", str(steps), *more)
        found: dict[str, list[list[float]]] = {}
        for path in sorted(Path("run/wandb").glob("offline-run-*/run-*.wandb")):
            times = [row["kimg"] for row in history(path) if "loss/generator" in row]
            found.setdefault(path.stem, []).append([round(1000 * kimg) for kimg in times])
        return found

    return train


@OWN_WARNINGS
def test_resumed_run_stays_one_run_without_rows_twice(resume_here: Any) -> None:
    resume_here(2)
    shutil.copy("run/checkpoints/last.ckpt", "run/checkpoints/copy.ckpt")
    resume_here(4, "--ckpt_path", "last")
    shutil.copy("run/checkpoints/copy.ckpt", "run/checkpoints/last.ckpt")  # as a kill leaves it
    found = resume_here(6, "--ckpt_path", "last")
    assert list(found.values()) == [[[8, 16], [24, 32], [40, 48]]]


@OWN_WARNINGS
@pytest.mark.parametrize("content", ["", "[1]", '{"id": "x"}', '{"id": "x", "kimg": [], "names": []}'])
def test_notes_that_are_damaged_begin_a_new_run(content: str, tmp_path: Path) -> None:
    (tmp_path / "wandb.json").write_text(content)
    assert earlier_session(tmp_path) == Session()


@OWN_WARNINGS
def test_other_settings_begin_a_new_run_where_rows_would_be_twice(resume_here: Any) -> None:
    resume_here(2)
    shutil.copy("run/checkpoints/last.ckpt", "run/checkpoints/copy.ckpt")
    resume_here(3, "--ckpt_path", "last")
    found = resume_here(3, "--ckpt_path", "run/checkpoints/copy.ckpt", "--model.learning_rate", "0.001")
    assert sorted(found.values()) == [[[8, 16], [24]], [[24]]]
