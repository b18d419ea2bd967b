"""The server's surroundings: ports, the environment, uploads, and real images that take their time."""

import asyncio
import os
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualgan.explore.engine import NoReferencesError
from dualgan.explore.references import OpenedBeside
from dualgan.explore.serving import HOST, NoUploads, check_port, surroundings


def test_ports() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} is in use: choose another with --port"):
            check_port(port)
    assert check_port(port) == port
    assert check_port(0) > 0
    for wrong in (-1, 65536):
        with pytest.raises(ValueError, match="is out of range: expected 0 to 65535"):
            check_port(wrong)


def test_nothing_of_the_environment_opens_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"GRADIO_SHARE": "true", "GRADIO_ANALYTICS_ENABLED": "True", "NO_PROXY": "inside"}.items():
        monkeypatch.setenv(name, value)
    for name in ("GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with surroundings():
        ours = {name: value for name, value in os.environ.items() if name.startswith("GRADIO_")}
        assert ours.keys() == {"GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"}
        assert ours["GRADIO_ANALYTICS_ENABLED"] == "False"
        assert Path(ours["GRADIO_TEMP_DIR"]).is_dir()
        assert os.environ["MPLBACKEND"] == "agg"
        assert os.environ["NO_PROXY"] == f"inside,{HOST},localhost"
    assert not Path(ours["GRADIO_TEMP_DIR"]).exists()
    assert "GRADIO_TEMP_DIR" not in os.environ
    assert os.environ["GRADIO_SHARE"] == "true"


@pytest.mark.parametrize(("path", "refused"), [("/gradio_api/upload", True), ("/gradio_api/queue/join", False)])
def test_uploads_are_refused(path: str, refused: bool) -> None:
    sent: list[Any] = []
    passed: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(NoUploads(app)({"type": "http", "path": path}, None, send))
    assert passed == ([] if refused else [path])
    assert [message["status"] for message in sent if "status" in message] == ([403] if refused else [])


class Two:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, number: int, /) -> np.ndarray:
        return np.full((1, 1, 3), number, np.uint8)


class TestOpenedBeside:
    def test_gives_images(self) -> None:
        images = OpenedBeside(Two)
        images.wait()
        assert images(1)[0, 0, 0] == 1
        with pytest.raises(ValueError, match="reference 2 does not exist: there are real images 0 to 1"):
            images(2)

    def test_says_why_there_are_none(self) -> None:
        def fail() -> Two:
            raise ValueError("no real images at x")

        images = OpenedBeside(fail)
        images.wait()
        with pytest.raises(NoReferencesError, match="no real images at x"):
            images(0)

    def test_a_picture_does_not_wait_for_them(self) -> None:
        asked, go_on = threading.Event(), threading.Event()

        def slow() -> Two:
            asked.set()
            go_on.wait()
            return Two()

        images = OpenedBeside(slow)
        assert not asked.is_set()
        with pytest.raises(NoReferencesError, match="still being opened"):
            images(0)
        assert asked.is_set()
        go_on.set()
        images.wait()
        assert images(0).shape == (1, 1, 3)
