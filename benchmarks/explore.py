"""How long does the page of `dualgan explore` take to come, and to follow a slider?

The command is started as a user starts it, and then asked what a browser asks: for the page, for its first pictures,
and for new ones after every move of the truncation slider, which changes all layers, and of a direction's. A time ends
when the picture has arrived as a PNG. It does not see what a browser adds: a second to the first picture, some 50 ms to
a slider's move, of which most goes into Gradio's scripts.

    python benchmarks/explore.py                                     # the pretrained showpiece, and 256x256
    python benchmarks/explore.py --ckpt runs/mine other.ckpt --moves 40

The networks at 256x256 are untrained StyleGAN2 of the published widths, generator and discriminator.
"""

import argparse
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from machine import print_machine

from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.weights.checkpoints import header
from dualgan.weights.safetensors_file import write_safetensors

WANTED = "wanted on 2 cores: a picture within 5 s, a move's within 150 ms at 32x32 and 1000 ms at 256x256"
WIDTHS: dict[str, dict[str, Any]] = {
    "toy": {"channel_base": 128, "channel_max": 8},
    "published": {"channel_base": 16384, "channel_max": 512},
}


class Times(NamedTuple):
    """Seconds.

    Attributes:
        address: From the start of the command to the address that it prints.
        first: From the start of the command to the first picture.
        moves: From a slider's move to the picture, by the slider's name.
    """

    address: float
    first: float
    moves: dict[str, list[float]]


class Page:
    """The page, as a browser talks to its server."""

    def __init__(self, address: str) -> None:
        self.address, self.session = address, uuid.uuid4().hex
        self.get("")
        self.config = json.loads(self.get("config"))
        self.parts = {part["id"]: part["props"] for part in self.config["components"]}

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(urllib.parse.urljoin(self.address, path), timeout=300) as answer:
            content: bytes = answer.read()
        return content

    def event(self, name: str) -> dict[str, Any]:
        """The first event with a name, and pictures that it changes."""
        found = (one for one in self.config["dependencies"] if any(target[1] == name for target in one["targets"]))
        event: dict[str, Any] = next(found)
        return event

    def place(self, event: dict[str, Any], word: str) -> int:
        """Which input of an event has a word in its id or classes."""
        named = [self.parts[part] for part in event["inputs"]]
        return next(k for k, one in enumerate(named) if word in f"{one.get('elem_id')} {one.get('elem_classes')}")

    def values(self, event: dict[str, Any]) -> list[Any]:
        """What the inputs of an event hold at first."""
        return [self.parts[part].get("value") for part in event["inputs"]]

    def pictures(self, event: dict[str, Any], values: list[Any]) -> list[bytes]:
        """Let something happen, and take the pictures that come of it."""
        asked = {"fn_index": event["id"], "data": values, "session_hash": self.session, "event_data": None}
        request = urllib.request.Request(
            f"{self.address}gradio_api/queue/join", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=300).close()
        shown = (one["url"] for one in self._answer() if isinstance(one, dict) and "url" in one)
        return [base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True) for url in shown]

    def _answer(self) -> list[Any]:
        stream = f"{self.address}gradio_api/queue/data?session_hash={self.session}"
        with urllib.request.urlopen(stream, timeout=300) as lines:
            for line in lines:
                said = json.loads(line.removeprefix(b"data:")) if line.startswith(b"data:") else {}
                if said.get("msg") == "process_completed":
                    assert said["success"], said
                    data: list[Any] = said["output"]["data"]
                    return data
        raise AssertionError("the server hung up")


@contextmanager
def serving(words: list[str], folder: Path) -> Iterator[tuple[float, str]]:
    """When the command was started, and the address that it prints."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "dualgan", "explore", *words, "--port", "0", "--device", "cpu", "--out", "out"]
    # without saved bytecode every start would compile its packages anew
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
            assert found, "the command did not come to an address"
            yield start, found[0]
        finally:
            process.terminate()


def measure(words: list[str], moves: int, folder: Path) -> Times:
    """One start of the page, and moves of its sliders."""
    with serving(words, folder) as (start, address):
        ready = time.perf_counter() - start
        page = Page(address)
        load, move = page.event("load"), page.event("input")
        assert page.pictures(load, page.values(load))
        first = time.perf_counter() - start
        return Times(ready, first, {name: list(moved(page, move, name, moves)) for name in ("psi", "direction")})


def moved(page: Page, event: dict[str, Any], slider: str, moves: int) -> Iterator[float]:
    """Seconds of each move; the first one, which may have to find directions, is left out."""
    values = page.values(event)
    where, value = page.place(event, slider), values[page.place(event, slider)]
    for k in range(moves + 1):
        values[where] = round(value - 0.01 * (k + 1), 2)
        start = time.perf_counter()
        assert page.pictures(event, values)
        if k:
            yield time.perf_counter() - start


def untrained(resolution: int, width: str, folder: Path) -> Path:
    """The file of an untrained network."""
    torch.manual_seed(0)
    G, D = StyleGAN2Generator(resolution, **WIDTHS[width]), StyleGAN2Discriminator(resolution, **WIDTHS[width])
    state = {f"generator_ema.{name}": value for name, value in G.state_dict().items()}
    state |= {f"discriminator.{name}": value for name, value in D.state_dict().items()}
    path = folder / f"stylegan2_{resolution}.safetensors"
    write_safetensors(path, header(G, D), state)
    return path


def load() -> str:
    """Cores and how busy they are."""
    busy = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return f"{os.cpu_count()} cores, load {busy}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ckpt", nargs="*", help="networks, each measured alone")
    parser.add_argument("--resolutions", type=int, nargs="*", default=[256], help="of untrained networks")
    parser.add_argument("--width", choices=WIDTHS, default="published", help="of these")
    parser.add_argument("--moves", type=int, default=20, help="of each slider")
    parser.add_argument("--starts", type=int, default=3)
    args = parser.parse_args()
    print_machine()
    print(load())
    print(f"{'':<28} {'address s':>9} {'picture s':>9}   a slider's move, ms: median (slowest)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        networks = {Path(file).name: ["--ckpt", str(Path(file).resolve())] for file in args.ckpt or []}
        if args.ckpt is None:
            networks["the showpiece"] = []
        for resolution in args.resolutions:
            made = untrained(resolution, args.width, folder)
            networks[f"{resolution}x{resolution}"] = ["--ckpt", str(made)]
        for label, words in networks.items():
            times = [measure(words, args.moves, folder) for _ in range(args.starts)]
            print(f"{label:<28} {summed(times)}", flush=True)
    print(WANTED)


def summed(times: list[Times]) -> str:
    """A line of the table."""
    address, first = (statistics.median(getattr(one, name) for one in times) for name in ("address", "first"))
    moves = {name: [1000 * t for one in times for t in one.moves[name]] for name in times[0].moves}
    said = ", ".join(f"{name} {statistics.median(all_):.0f} ({max(all_):.0f})" for name, all_ in moves.items())
    return f"{address:>9.2f} {first:>9.2f}   {said}"


if __name__ == "__main__":
    main()
