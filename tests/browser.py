"""The browser of this machine, for tests of pages, and the patience that busy machines take."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "no Chromium found: neither chromium nor google-chrome is on the PATH"
PATIENCE = 180.0  # seconds, where nothing is measured: only what hangs for good takes longer


class Killable(Protocol):
    """A process."""

    def kill(self) -> None: ...


@contextmanager
def ended_after_patience(process: Killable) -> Iterator[None]:
    """Whoever waits for a process need not ask the time: it lives no longer than patience lasts."""
    watch = threading.Timer(PATIENCE, process.kill)
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's browser, which waits as long for everything."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"], timeout=1000 * PATIENCE
        )
        yield browser
        browser.close()


def new_page(browser: Any, **settings: Any) -> Any:
    """A page of a browser."""
    page = browser.new_page(**settings)
    page.set_default_timeout(1000 * PATIENCE)
    return page
