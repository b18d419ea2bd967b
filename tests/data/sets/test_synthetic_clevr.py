import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dualgan.data import SyntheticCLEVR
from dualgan.data.render.tracing import render


def make(cache: Path, num_images: int = 24, num_renderers: int | None = 1, **changes: Any) -> SyntheticCLEVR:
    data = SyntheticCLEVR(
        num_images, batch_size=4, cache_dir=str(cache), num_renderers=num_renderers, **{"resolution": 8, **changes}
    )
    data.prepare_data()
    data.setup("fit")
    return data


def pixels(data: SyntheticCLEVR) -> torch.Tensor:
    return torch.cat([batch.images for batch in data.reference_dataloader()])


@pytest.fixture
def renders(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call rendered."""
    from dualgan.data.sets import synthetic_clevr

    calls: list[int] = []
    original = synthetic_clevr.SyntheticCLEVR._render

    def counted(self: SyntheticCLEVR) -> None:
        calls.append(self.num_images)
        original(self)

    monkeypatch.setattr(synthetic_clevr.SyntheticCLEVR, "_render", counted)
    return calls


def test_images_show_their_scenes(tmp_path: Path) -> None:
    data = make(tmp_path)
    expected = render([data.scene(index) for index in range(24)], 8).astype(int)
    assert np.abs(pixels(data).numpy() - expected).max() <= 1
    assert (data.num_channels, data.num_classes, data.dataset_size, data.resolution) == (3, 0, 24, 8)


def test_worker_processes_render_the_same_images(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    several, single = (make(tmp_path / str(n), 40, n, resolution=64) for n in (2, 1))
    assert torch.equal(pixels(several), pixels(single))
    assert "40/40" in capfd.readouterr().err


def test_failed_workers_stop_the_run_and_leave_no_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"  # fails as a worker, but not as the process that looks after their semaphores
    python.write_text(f'#!/bin/sh\ncase "$*" in *fork*) exit 1;; esac\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr("multiprocessing.spawn._python_exe", os.fsencode(python))
    with pytest.raises(RuntimeError, match="num_renderers=1"):
        make(tmp_path / "cache", 40, 2, resolution=64)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_second_run_uses_the_cache(tmp_path: Path, renders: list[int]) -> None:
    first, second = make(tmp_path), make(tmp_path)
    assert renders == [24]
    assert torch.equal(pixels(first), pixels(second))


@pytest.mark.parametrize("damage", ["half", "foreign", "pixel", "no manifest", "broken manifest", "other manifest"])
def test_damaged_cache_is_rendered_again(tmp_path: Path, renders: list[int], damage: str) -> None:
    data = make(tmp_path)
    before, content = pixels(data), data.path.read_bytes()
    manifest = data.path.with_suffix(".json")
    if damage == "half":
        data.path.write_bytes(content[: len(content) // 2])
    elif damage == "foreign":
        data.path.write_bytes(b"something else")
    elif damage == "pixel":
        data.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "broken manifest":
        manifest.write_text('{"set": ')
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"renderer_version": 0}))
    assert torch.equal(pixels(make(tmp_path)), before)
    assert renders == [24, 24]


def test_default_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path))
    assert SyntheticCLEVR().path.is_relative_to(tmp_path)


def test_fingerprint_tells_sets_apart(tmp_path: Path) -> None:
    same = {make(tmp_path / name).fingerprint for name in "ab"}
    others: list[dict[str, Any]] = [
        {"scene_seed": 1},
        {"resolution": 16},
        {"num_images": 25},
        {"subset": 5},
        {"subset": 5, "subset_seed": 1},
    ]
    assert len(same) == 1
    assert len(same | {make(tmp_path, **changes).fingerprint for changes in others}) == 6


@pytest.mark.parametrize("name", ["num_images", "num_renderers"])
def test_impossible_counts_are_named(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} 0 is too small"):
        SyntheticCLEVR(**settings)
