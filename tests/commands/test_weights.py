"""`dualgan weights`: what is where, and nothing fetched but what was asked for."""

import hashlib
from pathlib import Path

import pytest
import torch

from dualgan.metrics.weights import WEIGHTS
from tests.conftest import RunCLI


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def test_every_file_is_listed_with_its_place(run_cli: RunCLI, hub: Path) -> None:
    (hub / WEIGHTS["vgg16"].file).parent.mkdir(parents=True)
    (hub / WEIGHTS["vgg16"].file).write_bytes(b"something else")
    out = run_cli.succeeds("weights")
    assert all(f"{name}: " in out for name in WEIGHTS)
    assert f"looked for {WEIGHTS['inception_v3'].path}" in out
    assert "vgg16: OTHER FILE, expected sha256 397923af" in out
    assert hashlib.sha256(b"something else").hexdigest()[:16] in out
    for name in ("efficientnet_lite0", "lpips_vgg16"):
        assert f"{name}: found" in out


def test_only_missing_files_are_fetched(run_cli: RunCLI, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[tuple[str, str | None]] = []

    def write(url: str, path: str, sha256: str | None) -> None:
        fetched.append((url, sha256))
        Path(path).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", write)
    run_cli.succeeds("weights", "--download", "inception_v3")
    assert fetched == [(WEIGHTS["inception_v3"].url, "6726825d")]
    run_cli.succeeds("weights", "--download", "all")
    wanted = [weights.url for weights in WEIGHTS.values() if weights.installed is None]
    assert sorted(url for url, _ in fetched) == sorted(wanted)


def test_a_wrong_hash_leaves_no_file(run_cli: RunCLI, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = hub.parent / "source.bin"
    source.parent.mkdir()
    source.write_bytes(b"damaged on the way")
    download = torch.hub.download_url_to_file
    monkeypatch.setattr(
        torch.hub,
        "download_url_to_file",
        lambda url, path, sha256: download(source.as_uri(), path, sha256, progress=False),
    )
    error = run_cli.fails("weights", "--download", "inception_v3")
    assert "invalid hash value" in error
    assert "put it into" in error
    assert not list(hub.glob("*.pth*"))[1:]  # the lock only
    assert not WEIGHTS["inception_v3"].path.exists()


def test_unknown_names_are_told_the_known_ones(run_cli: RunCLI, hub: Path) -> None:
    error = run_cli.fails("weights", "--download", "inception")
    assert "'inception'" in error
    assert "inception_v3" in error
