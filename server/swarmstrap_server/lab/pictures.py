# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of a rehearsal for people who read about it: a node's screen, and `swarmstrap watch`."""

import contextlib
import io
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server.commands.board import Board, live
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.lab.guest import Guest

CONSOLE, WATCH = "console.png", "watch.svg"
_COLUMNS = 118
_WEB_FONT = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)
# Taken when this many nodes are at least this far with the image: then everything moves.
_NODES, _PROGRESS = 2, 0.3


class Album:
    """Follows the server's stream from the start, as `swarmstrap watch` does, and takes one
    picture of each kind into `folder`.
    """

    def __init__(self, folder: Path, operator: Operator) -> None:
        self._folder = folder
        self._board = Board()
        self._taken = False
        folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._follow, args=(operator,), daemon=True).start()

    async def consider(self, nodes: Sequence[tuple[Guest | None, Deployment | None]]) -> None:
        """Take the pictures if this is the moment; raises SwarmstrapError when QEMU cannot."""
        busy = [guest for guest, deployment in nodes if guest and _fetching(deployment)]
        if self._taken or len(busy) < min(_NODES, len(nodes)):
            return
        self._taken = True
        console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
        console.print(live(self._board))
        svg = console.export_svg(title="swarmstrap watch")
        # rich names web fonts there; a picture in a tree fetches nothing.
        (self._folder / WATCH).write_text(_WEB_FONT.sub("", svg))
        await busy[0].screenshot(self._folder / CONSOLE)

    def _follow(self, operator: Operator) -> None:
        # The stream ends with the server, at the end of the rehearsal.
        with contextlib.suppress(SwarmstrapError, OSError):
            for message in operator.stream():
                self._board.take(message)


def _fetching(deployment: Deployment | None) -> bool:
    return (
        deployment is not None
        and deployment.phase == "image"
        and (deployment.progress or 0.0) >= _PROGRESS
    )
