"""What TensorBoard's events of a run hold: what metrics.csv has, on images as the axis, also after resuming."""

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dualgan.runs.tensorboard import EventsLogger
from tests.conftest import TINY, RunCLI

FEW = ("--trainer.log_every_n_steps", 1, "--samples.every_kimg", 0.008, "--checkpoints.every_kimg", 0.008)
ON = ("--tensorboard", "true", *FEW)


def events(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run / "tensorboard"), {"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def scalars(run: Path) -> dict[str, dict[int, float]]:
    """Numbers by name and images seen; a time that stands twice fails."""
    found = events(run)
    series = {name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]}
    for name, rows in series.items():
        assert len(rows) == len(dict(rows)), name
    return {name: dict(rows) for name, rows in series.items()}


def rows(run: Path) -> dict[str, dict[int, float]]:
    """The same of metrics.csv."""
    found: dict[str, dict[int, float]] = {}
    for row in csv.DictReader(io.StringIO((run / "metrics.csv").read_text())):
        for name, value in row.items():
            if value and name not in ("kimg", "step"):
                found.setdefault(name, {})[round(1000 * float(row["kimg"]))] = float(value)
    return found


def close(one: dict[int, float], other: dict[int, float]) -> bool:
    return one.keys() == other.keys() and all(one[k] == pytest.approx(other[k], rel=1e-5) for k in one)


def test_events_have_all_numbers_pictures_and_the_configuration(run_cli: RunCLI) -> None:
    run_cli.succeeds("fit", *TINY, *ON, "--run_dir", "run")
    written, logged = rows(Path("run")), scalars(Path("run"))
    assert written.keys() <= logged.keys()
    assert logged.keys() - written.keys() <= {"train/images_per_second"}
    for name, values in written.items():
        assert close(values, logged[name]), name
    found = events(Path("run"))
    pictures = found.Images("samples")
    assert [event.step for event in pictures] == [0, 8, 16]
    with Image.open("run/samples/kimg_00000.016.png") as expected:
        shown = Image.open(io.BytesIO(pictures[-1].encoded_image_string)).convert("RGB")
        assert (np.asarray(shown) == np.asarray(expected.convert("RGB"))).all()
    text = found.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "total_kimg: 0.016" in text
    assert "tensorboard: true" in text


def test_a_resumed_run_goes_on_in_the_same_folder(run_cli: RunCLI) -> None:
    longer = ("--model.total_kimg", 0.032)
    run_cli.succeeds("fit", *TINY, *longer, *ON, "--run_dir", "whole")
    run_cli.succeeds("fit", *TINY, *longer, *ON, "--checkpoints.keep", 5, "--run_dir", "part")
    back = "part/checkpoints/kimg_00000.016.ckpt"
    run_cli.succeeds("fit", "--config", "part/config.yaml", "--ckpt_path", back)  # what came after it is made again
    whole, part = scalars(Path("whole")), scalars(Path("part"))
    assert whole.keys() == part.keys()
    for name in whole.keys() - {"train/images_per_second"}:
        assert close(whole[name], part[name]), name
    assert [event.step for event in events(Path("part")).Images("samples")] == [0, 8, 16, 24, 32]
    assert len(list(Path("part/tensorboard").iterdir())) == 2


def test_without_the_flag_there_are_none(finished_run: Callable[[], Path]) -> None:
    assert not (finished_run() / "tensorboard").exists()


def test_without_the_package_nothing_begins(run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    error = run_cli.fails("fit", *TINY, *ON, "--run_dir", "run")
    assert error.startswith("tensorboard true needs the package tensorboard")
    assert "pip install 'dualgan[tensorboard]'" in error
    assert not Path("run").exists()


def test_a_training_does_without_when_events_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tensorboard").write_text("no folder")
    logger: Any = EventsLogger(tmp_path)
    for kimg in (0.0, 1.0):
        logger.log_metrics({"loss": 1.0, "kimg": kimg}, step=1)
    logger.log_picture("samples", np.zeros((8, 8, 3), np.uint8), 1.0, 1)
    logger.save()
    logger.finalize("success")
    assert caplog.text.count("TensorBoard has failed") == 1
