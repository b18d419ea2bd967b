"""Second names of checkpoints."""

from pathlib import Path

import pytest

from dualgan.runs.retention import go_back_to, keep_previous, link


def test_a_symbolic_link_gives_its_file_a_second_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("weights")
    (tmp_path / "nice").symlink_to("a")
    (tmp_path / "other").mkdir()
    link(tmp_path / "nice", tmp_path / "other" / "last")
    assert not (tmp_path / "other" / "last").is_symlink()
    (tmp_path / "a").unlink()
    assert (tmp_path / "other" / "last").read_text() == "weights"
    with pytest.raises(FileNotFoundError):
        link(tmp_path / "nice", tmp_path / "other" / "last")


def test_going_back_to_a_link_keeps_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kimg_00000.032.ckpt").write_text("weights")
    (tmp_path / "nice.ckpt").symlink_to("kimg_00000.032.ckpt")
    go_back_to(tmp_path, tmp_path / "nice.ckpt")
    keep_previous(tmp_path, 32, keep=3)
    for name in ("last.ckpt", "kimg_00000.032.ckpt", "nice.ckpt"):
        assert (tmp_path / name).read_text() == "weights"
