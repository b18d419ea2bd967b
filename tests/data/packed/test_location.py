"""Reading packed sets through URLs, from a server on this machine."""

import functools
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualgan.data.packed import open_packed, verify
from dualgan.data.packed.preparing import prepare
from tests.data.packed.conftest import everything


class Server:
    """Serves a folder and remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        requests = self.requests

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path.rpartition("/")[2])
                super().do_GET()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/packed"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def packed(root: Path, tmp_path: Path) -> Path:
    prepare(root, tmp_path / "site" / "packed", resolution=8, workers=1)
    return tmp_path / "site" / "packed"


@pytest.fixture
def server(packed: Path) -> Iterator[Server]:
    server = Server(packed.parent)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_files_are_fetched_when_needed_and_only_once(server: Server, packed: Path, tmp_path: Path) -> None:
    source = open_packed(server.url, tmp_path / "cache")
    assert server.requests == ["manifest.json"]
    assert np.array_equal(source.read(np.array([0, 59])), open_packed(packed).read(np.array([0, 59])))
    assert len(server.requests) == 3
    assert np.array_equal(everything(source), everything(open_packed(packed)))
    assert source.names == open_packed(packed).names
    fetched = [name for name in server.requests if name != "manifest.json"]
    assert len(fetched) == len(set(fetched)) == len(source.manifest.shards) + 1
    again = open_packed(server.url, tmp_path / "cache")
    everything(again)
    assert server.requests[len(fetched) + 1 :] == ["manifest.json"]


def test_cache_serves_without_the_server(server: Server, packed: Path, tmp_path: Path) -> None:
    everything(open_packed(server.url, tmp_path / "cache"))
    server.stop()
    with pytest.warns(UserWarning, match="cannot be reached .*going on with the cached files"):
        source = open_packed(server.url, tmp_path / "cache")
    assert np.array_equal(everything(source), everything(open_packed(packed)))
    with pytest.raises(ValueError, match=r"packed' cannot be read: Client"):
        open_packed(server.url, tmp_path / "other")


@pytest.mark.parametrize("damage", ["bytes", "truncate", "remove"])
def test_damaged_cache_is_fetched_again(server: Server, packed: Path, tmp_path: Path, damage: str) -> None:
    everything(open_packed(server.url, tmp_path / "cache"))
    server.requests.clear()
    (shard,) = (tmp_path / "cache").rglob("shard-00003.npy")
    if damage == "remove":
        shard.unlink()
    else:
        content = shard.read_bytes()
        shard.write_bytes(content[:-100] + bytes(100 if damage == "bytes" else 0))
    assert np.array_equal(everything(open_packed(server.url, tmp_path / "cache")), everything(open_packed(packed)))
    assert server.requests == ["manifest.json", "shard-00003.npy"]


def test_cache_that_is_cleared_during_training_is_filled_again(server: Server, packed: Path, tmp_path: Path) -> None:
    source = open_packed(server.url, tmp_path / "cache")
    expected = everything(source)
    for path in (tmp_path / "cache").rglob("shard-*.npy"):
        path.unlink()
    assert np.array_equal(everything(source), expected)


def test_damaged_remote_shard_is_named_and_not_kept(server: Server, packed: Path, tmp_path: Path) -> None:
    shard = packed / "shard-00003.npy"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    source = open_packed(server.url, tmp_path / "cache")
    with pytest.raises(ValueError, match=r"shard-00003\.npy' could not be fetched in 3 attempts: .*SHA-256"):
        everything(source)
    assert server.requests.count("shard-00003.npy") == 3
    shard.write_bytes(content)
    assert np.array_equal(everything(source), everything(open_packed(packed)))


def test_missing_remote_files_are_named(server: Server, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no packed set at 'http://.*/nowhere'"):
        open_packed(server.url + "/nowhere", tmp_path / "cache")
    (packed / "shard-00003.npy").unlink()
    source = open_packed(server.url, tmp_path / "cache")
    with pytest.raises(ValueError, match=r"shard-00003\.npy.* not found"):
        everything(source)


def test_verifying_a_url_fetches_all_of_it(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path / "cache"))
    manifest = verify(server.url)
    names = {path.name for path in (tmp_path / "cache").rglob("*") if not path.name.startswith(".")}
    assert {file.name for file in manifest.files} <= names


def test_processes_fetch_a_shard_once(server: Server, tmp_path: Path) -> None:
    source = open_packed(server.url, tmp_path / "cache")
    processes = []
    for _ in range(3):
        if (process := os.fork()) == 0:
            os._exit(0 if everything(source).any() else 1)
        processes.append(process)
    assert [os.waitpid(process, 0)[1] for process in processes] == [0, 0, 0]
    assert len(server.requests) == len(set(server.requests))


def test_missing_backend_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match=r"s3://bucket/set' needs a package.*pip install 'dualgan\[s3\]'"):
        open_packed("s3://bucket/set", tmp_path)
    with pytest.raises(ValueError, match=r"gopher://a/b' cannot be opened: .*gopher"):
        open_packed("gopher://a/b", tmp_path)


def test_cache_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be kept: .*file/packed/.* \(Not a directory\).*DUALGAN_CACHE"):
        open_packed(server.url, tmp_path / "file")
