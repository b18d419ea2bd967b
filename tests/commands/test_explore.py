"""`dualgan explore`: what it refuses before there is a page. The page is in tests/explore/test_page.py."""

import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from dualgan.commands.shared.real_images import real_section
from dualgan.studies.directions import find_directions
from tests import tiny
from tests.conftest import ENTRY, RunCLI

gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed")


def test_gradio_is_missing(run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualgan.explore.serving.find_spec", lambda name: None)
    assert "pip install 'dualgan[explore]'" in run_cli.fails("explore")


@gradio
class TestRefused:
    def test_no_network(self, run_cli: RunCLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dualgan.weights.pretrained.FOLDER", tmp_path / "none")
        assert "no trained networks come with this version" in run_cli.fails("explore", "--port", 0)

    def test_a_folder_and_missing_files(self, run_cli: RunCLI, pretrained: Path) -> None:
        Path("empty").mkdir()
        assert "empty is a folder without checkpoints/last.ckpt" in run_cli.fails("explore", "--ckpt", "empty")
        error = run_cli.fails("explore", "--port", 0, "--ckpt", "tiny-contra")
        assert error.endswith(f"did you mean '{ENTRY}'?")

    def test_a_port_in_use(self, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            error = run_cli.fails("explore", "--ckpt", checkpoint(), "--port", port)
        assert error == f"port {port} is in use: choose another with --port, or --port 0 for any"
        assert "out of range" in run_cli.fails("explore", "--ckpt", checkpoint(), "--port", 70000)

    def test_too_many_or_the_same(self, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
        path = checkpoint()
        assert "was given twice" in run_cli.fails("explore", "--port", 0, "--ckpt", path, path)
        assert "room for 1 or 2" in run_cli.fails("explore", "--port", 0, "--ckpt", path, "b.ckpt", "c.ckpt")

    def test_data_without_use(self, run_cli: RunCLI, checkpoint: Callable[..., Path], photographs: Path) -> None:
        error = run_cli.fails("explore", "--port", 0, "--ckpt", checkpoint(), "--data", photographs)
        assert "no discriminator here looks at real images" in error

    def test_data_that_is_not_there(self, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
        error = run_cli.fails("explore", "--port", 0, "--ckpt", checkpoint(references=True), "--data", "none.yaml")
        assert "none.yaml" in error
        error = run_cli.fails("explore", "--port", 0, "--ckpt", checkpoint(references=True), "--data", "nowhere")
        assert "There is no folder or zip of images at 'nowhere'. Check the path" in error

    def test_data_is_looked_for_where_it_is_read(self, photographs: Path) -> None:
        there = ("--data.root", str(photographs))
        assert real_section("nowhere", None, 16, there)["init_args"]["root"] == str(photographs)
        with pytest.raises(ValueError, match="no folder or zip of images at 'nowhere'"):
            real_section(str(photographs), None, 16, ("--data.root", "nowhere"))

    def test_directions_of_another_network(self, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
        find_directions(tiny.generator(resolution=16), "pca", 2).save(Path("ways.safetensors"))
        given = ("explore", "--port", 0, "--ckpt", checkpoint(), "--directions")
        assert "the directions in ways.safetensors belong to" in run_cli.fails(*given, "ways.safetensors")
        assert "no directions at none.safetensors" in run_cli.fails(*given, "none.safetensors")
        Path("folder").mkdir()
        assert "folder is a folder: expected a .safetensors file" in run_cli.fails(*given, "folder")

    def test_a_file_for_what_is_saved(self, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
        Path("file").touch()
        error = run_cli.fails("explore", "--port", 0, "--ckpt", checkpoint(), "--out", "file")
        assert "out 'file' is a file: name a folder" in error

    def test_no_place_is_looked_at_where_nothing_is_saved(self, run_cli: RunCLI) -> None:
        Path("file").touch()
        error = run_cli.fails("explore", "--port", 0, "--ckpt", "nowhere.ckpt", "--share", "--out", "file")
        assert "nowhere.ckpt" in error
