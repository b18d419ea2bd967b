"""Checkpoints and weights from elsewhere: nothing in them runs, and they cost no more memory than they have bytes."""

import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dualgan import load_generator
from dualgan.metrics.weights import read_state
from dualgan.weights.checkpoints import load_discriminator, read_checkpoint
from tests.conftest import TINY, RunCLI
from tests.safety.conftest import Evil

FinishedRun = Callable[[], Path]


def torch_zip(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def rewritten(content: bytes, change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """The parts of a file of torch.save, changed and packed again."""
    source, buffer = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return buffer.getvalue()


def absurd_size(name: str, content: bytes) -> bytes:
    """Let a storage of 1,000 numbers claim 2**35."""
    return content.replace(b"M\xe8\x03", b"\x8a\x05" + (2**35).to_bytes(5, "little"))


def doubled(what: str) -> bytes:
    """A tuple that holds another twice, sixty times over, as a key; or such lists where a function belongs."""
    tuples = b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
    lists = b"".join(b"]q%c(h%ch%ce" % (n + 1, n, n) for n in range(60))
    return b"\x80\x02K\x01q\0" + (tuples + b"}h<K\x01s." if what == "key" else lists + b"h<)R.")


def hostile(kind: str, marker: Path) -> bytes:
    tensors = torch_zip({"dualgan": {}, "state_dict": {"a": torch.zeros(1000)}})
    match kind:
        case "code":
            return torch_zip({"dualgan": {"format_version": 1}, "state_dict": {}, "x": Evil(marker)})
        case "code without a zip":
            return pickle.dumps({"dualgan": {"format_version": 1}, "x": Evil(marker)})
        case "code in the callbacks":
            return torch_zip({"dualgan": {"format_version": 1}, "callbacks": {"Timer": Evil(marker)}})
        case "absurd storage":
            return rewritten(tensors, absurd_size)
        case "bomb":
            return rewritten(tensors, lambda name, content: bytes(2**22), zipfile.ZIP_DEFLATED)
        case "endless key" | "endless function":
            content = doubled(kind.removeprefix("endless "))
            return rewritten(tensors, lambda name, other: content if name.endswith("data.pkl") else other)
        case "endless key without a zip":
            buffer = io.BytesIO()
            torch.save({}, buffer, _use_new_zipfile_serialization=False)
            return buffer.getvalue().replace(b"}q\0.", doubled("key").removeprefix(b"\x80\x02"))
        case "cut off":
            return tensors[: len(tensors) // 2]
    raise AssertionError(kind)


KINDS = ("code", "code without a zip", "code in the callbacks", "absurd storage", "bomb", "cut off")
ENDLESS = ("endless key", "endless key without a zip", "endless function")
VERBS = {
    "fit": ["fit", *TINY, "--ckpt_path"],
    "validate": ["validate", *TINY, "--ckpt_path"],
    "predict": ["predict", *TINY, "--predictions.out", "x.zip", "--ckpt_path"],
    "generate": ["generate", "--seeds", "0", "--out", "x", "--ckpt"],
    "evaluate": ["evaluate", "--metrics", "fid", "--num_fake", "2", "--ckpt"],
    "interpolate": ["interpolate", "--seeds", "0,1", "--out", "x.png", "--ckpt"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_loaders_refuse(kind: str, marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.ckpt"
    path.write_bytes(hostile(kind, marker))
    for load in (load_generator, load_discriminator, read_checkpoint):
        with pytest.raises(ValueError, match=r"cannot read .*hostile\.ckpt as a checkpoint"):
            load(path)
    with pytest.raises(ValueError, match=r"weights .*hostile\.ckpt' are damaged"):
        read_state(path)


@pytest.mark.parametrize("kind", ENDLESS)
def test_files_that_unfold_without_end_are_refused_at_once(kind: str, marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.ckpt"
    path.write_bytes(hostile(kind, marker))
    code = f"from dualgan.files.torch_files import *; read_tensors(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "unfolds to more than 1,024 values" in done.stderr or "it calls what is no function" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_refuse(verb: str, marker: Path, run_cli: RunCLI) -> None:
    Path("hostile.ckpt").write_bytes(hostile("code", marker))
    assert "cannot read hostile.ckpt as a checkpoint" in run_cli.fails(*VERBS[verb], "hostile.ckpt")


def test_lightnings_own_reading_runs_nothing_either(
    marker: Path, run_cli: RunCLI, finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = torch.load(finished_run() / "checkpoints" / "last.ckpt", weights_only=True)
    content["loops"] = Evil(marker)
    Path("hostile.ckpt").write_bytes(torch_zip(content))
    monkeypatch.setattr("dualgan.runs.folder.read_checkpoint", lambda path: None)
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.system|os\.system"):
        run_cli("fit", *TINY, "--run_dir", "run", "--ckpt_path", "hostile.ckpt")


@pytest.mark.parametrize(
    "changes",
    [
        {"z_dim": 2**40},
        {"mapping_layers": 10**9},
        {"z_dim": 2**15, "w_dim": 2**15},
        {"resolution": "x"},
        {"surprise": 1},
        {"attention": {"class_name": "os.system", "init_args": {}}},
    ],
    ids=str,
)
def test_descriptions_that_do_not_fit_their_tensors(
    changes: dict[str, Any], finished_run: FinishedRun, tmp_path: Path
) -> None:
    content = torch.load(finished_run() / "checkpoints" / "last.ckpt", weights_only=True)
    content["dualgan"]["generator"]["init_args"] |= changes
    path = tmp_path / "hostile.ckpt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"hostile\.ckpt (contradicts itself|describes a)"):
        load_generator(path)


def test_metric_weights_run_nothing(marker: Path, run_cli: RunCLI) -> None:
    Path("weights.pth").write_bytes(torch_zip({"x": Evil(marker)}))
    chosen = ["--quality.extractor", "efficientnet_lite0", "--quality.weights", "weights.pth"]
    assert "weights 'weights.pth' are damaged" in run_cli.fails("fit", *TINY, *chosen)
