"""`dualgan dashboard`, against a small server in the place of W&B's."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import RunCLI, process_environment

VIEWER = {"id": "1", "entity": "someone", "username": "someone", "email": "", "flags": "{}", "teams": {"edges": []}}


class WandbServer(ThreadingHTTPServer):
    """Answers who is logged in, and keeps the workspaces it is sent; there is no project named "absent"."""

    def __init__(self) -> None:
        self.saved: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Answer)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "upsertView" not in request.get("query", ""):
            return {"data": {"viewer": VIEWER}}
        if request["variables"]["projectName"] == "absent":
            return {"errors": [{"message": "project not found"}], "data": None}
        self.saved.append(request["variables"])
        return {"data": {"upsertView": {"view": {"id": "1", "name": "nw-abc-v"}, "inserted": True}}}


class Answer(BaseHTTPRequestHandler):
    server: WandbServer

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.answer(json.loads(content)) if self.path == "/graphql" else {}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer() as made:
        thread = Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def dashboard(server: WandbServer, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start the command as a logged-in user, in a process of its own: W&B keeps a service for the process's life."""
    environment = process_environment(
        WANDB_BASE_URL=f"http://127.0.0.1:{server.server_port}", WANDB_API_KEY="0" * 40, WANDB_CONFIG_DIR=str(folder),
        WANDB_ERROR_REPORTING="false", NETRC=str(folder / "netrc"), NO_PROXY="127.0.0.1",
    )  # fmt: skip
    command = [sys.executable, "-m", "dualgan", "dashboard", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_creates_the_workspace_or_says_why_not(server: WandbServer, tmp_path: Path) -> None:
    made = dashboard(server, tmp_path, "--project", "faces")
    refused = dashboard(server, tmp_path, "--entity", "team", "--project", "absent")

    out, err = made.communicate(timeout=300)
    assert made.returncode == 0, err
    assert f"Made http://127.0.0.1:{server.server_port}/someone/faces?nw=abc" in out
    (saved,) = server.saved
    assert (saved["entityName"], saved["projectName"], saved["displayName"]) == ("someone", "faces", "dualgan")
    sections = json.loads(saved["spec"])["section"]["panelBankConfig"]["sections"]
    assert [section["name"] for section in sections] == ["samples", "quality", "losses", "contrast", "speed"]
    assert all(section["panels"] for section in sections)

    _, err = refused.communicate(timeout=300)
    assert refused.returncode == 2
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "project not found" in error
    assert "'team/absent'" in error
    assert "Traceback" not in err


@pytest.fixture
def no_login(monkeypatch: pytest.MonkeyPatch, in_empty_folder: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(in_empty_folder / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(in_empty_folder / "wandb_config"))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # W&B's own
def test_without_a_login(run_cli: RunCLI, no_login: None) -> None:
    error = run_cli.fails("dashboard")
    assert "wandb login" in error
    assert "WANDB_API_KEY" in error


def test_without_the_extra(run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    assert "pip install 'dualgan[dashboard]'" in run_cli.fails("dashboard")
