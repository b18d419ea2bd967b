"""Checkpoints and weights from elsewhere: nothing in them runs, and they cost no more memory than they have bytes."""

import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

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
        with pytest.raises(ValueError, match=r"cannot read .*hostile\.ckpt as a checkpoint") as refused:
            load(path)
        assert_no_advice_to_run_it(str(refused.value))
    with pytest.raises(ValueError, match=r"weights .*hostile\.ckpt' are damaged") as refused:
        read_state(path)
    assert_no_advice_to_run_it(str(refused.value))


def assert_no_advice_to_run_it(message: str) -> None:
    """torch tells how to load a file all the same, and speaks of its reader."""
    for said in ("weights_only", "torch.load", "add_safe_globals", "PytorchStreamReader", "Unpickl"):
        assert said not in message


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("code")])
@pytest.mark.parametrize("name", ["hostile.ckpt", "hostile.pkl"])
def test_the_error_says_what_a_file_asks_for(kind: str, name: str, marker: Path, tmp_path: Path) -> None:
    if name.endswith(".pkl"):
        (tmp_path / name).write_bytes(pickle.dumps({"G_ema": Evil(marker)}, protocol=2))
    else:
        (tmp_path / name).write_bytes(hostile(kind, marker))
    with pytest.raises(ValueError, match=r"it asks for '(posix|nt|os)\.system', which is never run"):
        load_generator(tmp_path / name)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, mu=np.zeros(3))
    return buffer.getvalue()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "image": (png(), "a PNG image"),
    "text": (b"model:\n  loss: Hinge\n", "text"),
    "page": (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
    "arrays": (arrays(), "arrays of NumPy (.npz)"),
    "images": (zipped("0.png", "1.png"), "a zip file of 2 files, such as '0.png'"),
    "TorchScript": (zipped("m/data.pkl", "m/constants.pkl", "m/code/m.py"), "TorchScript, which is a program"),
    "torch.export": (zipped("m/archive_format", "m/models/model.json"), "a program of torch.export"),
    "ONNX": (onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])).SerializeToString(), "an ONNX graph"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file"),
    "nothing": (b"", "an empty file"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a pointer of Git LFS to a file: fetch the file itself",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", ["given.ckpt", "given.pkl", "given.safetensors", "given"])
def test_files_of_other_kinds_are_called_by_what_they_are(kind: str, name: str, run_cli: RunCLI) -> None:
    content, expected = FOREIGN[kind]
    Path(name).write_bytes(content)
    error = run_cli.fails("generate", "--ckpt", name, "--out", "images")
    assert f"it seems to be {expected}" in error
    assert_no_advice_to_run_it(error)


def test_a_whole_pickle_of_other_things_is_not_called_damaged(run_cli: RunCLI) -> None:
    content = pickle.dumps({"a": [1, 2]})
    Path("whole.ckpt").write_bytes(content)
    assert "it is a pickle of other things" in run_cli.fails("generate", "--ckpt", "whole.ckpt", "--out", "images")
    Path("cut.ckpt").write_bytes(content[:-3])
    assert "it is cut off or damaged" in run_cli.fails("generate", "--ckpt", "cut.ckpt", "--out", "images")


@pytest.mark.parametrize("name", ["graph.onnx", "graph.pt2"])
@pytest.mark.parametrize("verb", VERBS)
def test_graphs_are_refused_with_what_the_commands_take(name: str, verb: str, run_cli: RunCLI) -> None:
    Path(name).write_bytes(b"x")
    error = run_cli.fails(*VERBS[verb], name)
    assert f"{name} is a graph for other programs" in error
    assert "--ckpt takes .ckpt, .safetensors and .pkl" in error


@pytest.mark.parametrize("kind", ENDLESS)
def test_files_that_unfold_without_end_are_refused_at_once(kind: str, marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.ckpt"
    path.write_bytes(hostile(kind, marker))
    code = f"from dualgan.files.torch_files import *; read_tensors(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
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
    monkeypatch.setattr("dualgan.cli.lightning.nothing_to_do", lambda *_: None)
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
