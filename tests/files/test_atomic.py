"""Files that are made once and kept."""

from pathlib import Path

from dualgan.files.atomic import replacing


def test_leftovers_may_vanish_while_another_process_looks_at_them(tmp_path: Path) -> None:
    (tmp_path / ".a.json.0123.partial").symlink_to("gone")  # listed, and not there: as if renamed right now
    with replacing(tmp_path / "a.json") as partial:
        partial.write_text("{}")
    assert (tmp_path / "a.json").read_text() == "{}"
