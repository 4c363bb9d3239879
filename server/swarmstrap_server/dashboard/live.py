# SPDX-License-Identifier: GPL-2.0-or-later
"""A page's stream: its parts as HTML whenever they have become others, and cells that changed.

The API's stream tells everything; a telephone that shows a thousand nodes wants what it has to
draw, and that no more often than somebody can read.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable

import msgspec

from swarmstrap_server.dashboard.cells import Cell
from swarmstrap_server.dashboard.fleet import Fleet
from swarmstrap_server.dashboard.pages import Frame, Look, Page
from swarmstrap_server.dashboard.templating import render
from swarmstrap_server.dashboard.watch import Watch

# A page may change without a word of any node: clocks, silences. And whoever went away without a
# word, too, is found out by being spoken to.
BEAT_SECONDS = 5.0
_TOGETHER_SECONDS = 0.1


class Part(msgspec.Struct, frozen=True):
    name: str
    html: str


class Changes:
    """What a browser that has `page` does not know yet."""

    def __init__(self, page: Page, frame: Frame) -> None:
        self._page = page
        self._frame = frame
        self._parts: dict[str, str] = {}
        self._cells: dict[str, Cell] = {}

    def since(self, look: Look) -> Iterable[bytes]:
        """As server-sent events: `part` for each one, `cells` for all together."""
        values = self._page.values(look)
        for name, template in self._page.parts.items():
            html = render(template, frame=self._frame, **values)
            if self._parts.get(name) != html:
                self._parts[name] = html
                yield sse("part", Part(name, html))
        if isinstance(shown := values.get("fleet"), Fleet):
            changed = [cell for cell in shown.cells if self._cells.get(cell.name) != cell]
            self._cells.update((cell.name, cell) for cell in changed)
            if changed:
                yield sse("cells", changed)


async def follow(page: Page, frame: Frame, look: Look, watch: Watch) -> AsyncGenerator[bytes, None]:
    """Until the server stops; says something every BEAT_SECONDS, so that silence is a fault."""
    changes = Changes(page, frame)
    loop = asyncio.get_running_loop()
    told = loop.time()
    async with watch.follow():
        while not watch.ended:
            seen, began = watch.version, loop.time()
            for message in changes.since(look):
                told = began
                yield message
            if began - told >= BEAT_SECONDS:
                told = began
                yield sse("beat", {})
            await watch.changed(seen, BEAT_SECONDS)
            # What comes together is drawn together, and nothing more often than the page wants.
            await asyncio.sleep(max(_TOGETHER_SECONDS, began + page.seconds - loop.time()))


def sse(event: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(data))
