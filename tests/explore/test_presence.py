"""Requests that wait as long as a page is looked at."""

import asyncio
from threading import Event

from dualgan.explore.presence import PAUSE, Presence


def test_the_newest_pages_stay_until_the_end() -> None:
    closed = Event()
    presence = Presence(2, closed)

    async def visits() -> None:
        pages = []
        for _ in range(3):
            pages.append(asyncio.create_task(presence.stay()))
            await asyncio.sleep(0)
        await asyncio.wait_for(pages[0], 100 * PAUSE)
        await asyncio.sleep(2 * PAUSE)
        assert [page.done() for page in pages] == [True, False, False]
        closed.set()
        await asyncio.wait_for(asyncio.gather(*pages), 100 * PAUSE)

    asyncio.run(visits())
