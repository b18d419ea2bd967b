"""What an offline W&B run holds."""

import json
import struct
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dualgan.cli import main
from tests.conftest import TINY, RunCLI

BLOCK, HEADER = 32768, 7


def records(run_dir: Path) -> list[Any]:
    """Read a .wandb file: LevelDB's log format, after 7 bytes of its own, around protocol buffers."""
    proto: Any = import_module("wandb.proto.wandb_internal_pb2")
    (path,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    content = path.read_bytes()
    found, position, data = [], HEADER, b""
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:
            position += BLOCK - position % BLOCK
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + HEADER])
        data += content[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = proto.Record()
            record.ParseFromString(data)
            found.append(record)
            data = b""
    return found


def key_of(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # W&B's own
def test_offline_run(
    run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch, in_empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(in_empty_folder / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(in_empty_folder / "wandb_config"))
    small = [
        "--quality.num_fake",
        "8",
        "--samples.rows",
        "2",
        "--samples.columns",
        "2",
        "--trainer.log_every_n_steps",
        "1",
    ]
    assert main(["fit", *TINY, *small, "--trainer.accelerator", "cpu", "--run_dir", "run"]) == 0
    assert "wandb sync run/wandb/offline-run-*" in capsys.readouterr().out

    found = records(in_empty_folder / "run")
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
