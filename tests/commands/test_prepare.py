"""`dualgan prepare` on the command line."""

from pathlib import Path

import pytest

from dualgan.data.packed import open_packed
from tests.conftest import RunCLI

SMALL = ("--resolution", 32, "--workers", 1)


def test_photographs_are_packed_and_verified(run_cli: RunCLI, photographs: Path, tmp_path: Path) -> None:
    out = run_cli.succeeds("prepare", photographs, "set", *SMALL, "--filter", "box", "--num_channels", 1)
    assert "8 images of 32x32, gray, box, crop center, 8 shards" in out
    assert open_packed("set").fingerprint in out
    assert "is there already" in run_cli.succeeds(
        "prepare", photographs, "set", *SMALL, "--filter", "box", "--num_channels", 1
    )
    assert "'set' is whole: 8 images" in run_cli.succeeds("prepare", "--verify", "set")
    shard = tmp_path / "set" / "shard-00003.npy"
    shard.write_bytes(bytes(shard.stat().st_size))
    assert "1 of 9 files" in run_cli.fails("prepare", "--verify", "set")


def test_lsun_is_center(run_cli: RunCLI, photographs: Path) -> None:
    for crop in ("lsun", "center"):
        run_cli.succeeds("prepare", photographs, crop, *SMALL, "--crop", crop)
    assert open_packed("lsun").crop == "center"
    assert open_packed("lsun").fingerprint == open_packed("center").fingerprint


def test_allowed_problems_are_said(run_cli: RunCLI, photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for path in sorted(photographs.iterdir())[:2]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.png").write_text("no image")
    words = ("prepare", folder, "set", "--resolution", 1024, "--workers", 1)
    error = run_cli.fails(*words)
    assert "--skip_bad_images" in error
    assert "--enlarge" in error
    assert not (tmp_path / "set").exists()
    out = run_cli.succeeds(*words, "--skip_bad_images", "--enlarge")
    assert "Left out 1 images" in out
    assert "Enlarged 2 images" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "prepare needs a source and a target"),
        (["images"], "prepare needs a source and a target"),
        (["nowhere", "set"], "There is no folder or zip of images at 'nowhere'"),
        (["--verify", "nowhere"], "'nowhere' is no packed set"),
        (["images", "set", "--verify", "set"], "--verify takes nothing else"),
        (["images", "set", "--crop", "middle"], "middle"),
    ],
)
def test_mistakes_are_explained(run_cli: RunCLI, words: list[str], message: str) -> None:
    assert message in run_cli.fails("prepare", *words)


def test_help_explains_every_option(run_cli: RunCLI) -> None:
    out = " ".join(run_cli.succeeds("prepare", "--help").split())
    for name in ("src", "out", "--resolution", "--filter", "--crop", "--shard_mb", "--enlarge", "--verify"):
        assert name in out
    assert 'LSUN protocol of the GAN literature, another name for "center"' in out


def test_overview_names_the_verb(run_cli: RunCLI) -> None:
    assert "  prepare " in run_cli.succeeds("--help")
