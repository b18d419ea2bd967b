"""What keeps a page's stream of answers open, so that no answer is lost."""

import asyncio
from collections import deque
from threading import Event

NEWEST = 1  # browsers keep six connections to one server, and each page takes one of its own already
VISITORS = 16  # of a page that is shared, whose browsers share no connections
PAUSE = 0.25  # seconds


class Presence:
    """A request of each page that waits until newer pages are opened or the server ends.

    Gradio ends its stream of answers with the last one, and opens another for the next request. What is asked for
    after that end and before the browser has heard of it is never answered, and no later move is sent: the page stands
    still. As long as one request waits, the stream does not end.

    Args:
        most: Pages whose requests wait, the newest ones; the older ones have to do with Gradio's streams.
        closed: Set when the server ends.
    """

    def __init__(self, most: int, closed: Event) -> None:
        self._pages: deque[object] = deque(maxlen=most)
        self._closed = closed

    async def stay(self) -> None:
        """Return when enough newer pages were opened or the server ends."""
        self._pages.append(this := object())
        while this in self._pages and not self._closed.is_set():
            await asyncio.sleep(PAUSE)
