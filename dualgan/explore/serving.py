"""The page's server: on this machine alone, without telemetry and uploads, and with a short queue."""

import errno
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

HOST = "127.0.0.1"
PORT = 7860  # Gradio's
QUEUED = 16  # requests that wait; more are refused with a message

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def check_gradio() -> None:
    """Refuse to go on without Gradio.

    Raises:
        ValueError: It is not installed.
    """
    if find_spec("gradio") is None:
        raise ValueError("the page needs the package gradio, which is not installed: pip install 'dualgan[explore]'")


def check_port(port: int) -> int:
    """A port that is free, which 0 lets the system choose.

    Raises:
        ValueError: It is out of range, in use, or not allowed.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port} is out of range: expected 0 to 65535")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just been closed does not count
        try:
            trial.bind((HOST, port))
        except OSError as error:
            reason = "in use" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
            raise ValueError(f"port {port} is {reason}: choose another with --port, or --port 0 for any") from error
        found: int = trial.getsockname()[1]
    return found


@contextmanager
def surroundings() -> Iterator[None]:
    """Variables that Gradio reads when it is imported and launched, and a folder of its own for pictures.

    What the environment says to Gradio is left out: it could open the page to others.
    """
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    os.environ["MPLBACKEND"] = "agg"  # or Gradio searches for one at the first picture
    for name in ("NO_PROXY", "no_proxy"):  # Gradio looks at its own page, which no proxy can show
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), HOST, "localhost"]))
    with tempfile.TemporaryDirectory(prefix="dualgan-explore-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield
        finally:
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            os.environ |= before


class TerminatedError(KeyboardInterrupt):
    """SIGTERM ends the page."""

    exit_code = 128 + signal.SIGTERM


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """Let a SIGTERM end the block as Ctrl-C does: nothing that belongs to the page stays behind."""

    def end(*_: object) -> None:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class NoUploads:
    """Refuses every upload, which Gradio takes whether a page has use for it or not."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith("/upload"):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"uploads are off"})
            return
        await self.app(scope, receive, send)


def launch(page: Any, looks: Mapping[str, Any], port: int, share: bool = False) -> str:
    """Serve a page with its theme and styles, in threads of its own; returns its address, where shared the public one.

    Raises:
        ValueError: The port was taken meanwhile, the machine is too busy, or there is no share link to be had.
    """
    too_late = import_module("gradio.exceptions").ServerFailedToStartError
    middleware = import_module("starlette.middleware").Middleware
    page.queue(max_size=QUEUED, default_concurrency_limit=1, api_open=False)
    try:
        with redirect_stdout(sys.stderr):  # what Gradio says of share links, even when it is quiet
            _, address, public = page.launch(
                server_name=HOST, server_port=port, share=share, inline=False, inbrowser=False, quiet=True,
                prevent_thread_lock=True, show_error=True, footer_links=[], run_history=False, enable_monitoring=False,
                ssr_mode=False, pwa=False, mcp_server=False, max_file_size=1, allowed_paths=[],
                app_kwargs={"middleware": [middleware(NoUploads)]}, **looks,
            )  # fmt: skip
    except OSError as error:
        raise ValueError(f"port {port} is in use: choose another with --port, or --port 0 for any") from error
    except too_late as error:
        raise ValueError(
            "the page's server did not start within 5 s: try again when this machine is less busy"
        ) from error
    if share and not public:
        page.close(verbose=False)
        raise ValueError("no share link is to be had: check the network, or leave --share out")
    return str(public or address)


def open_browser(address: str) -> bool:
    """Show an address in the user's browser; whether there is one."""
    with suppress(webbrowser.Error):
        return webbrowser.open(address)
    return False


def wait() -> None:
    """Wait for Ctrl-C or another signal."""
    threading.Event().wait()
